import { type SignalOptions, untilAborted } from "../../../kernel/abort.ts";
import type { FileStatus } from "../../../kernel/kernel.ts";
import {
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from "../../../uapi/linux/fcntl.ts";
import { DirectoryFile } from "../../fs/directory_file.ts";
import { nodeToOpen } from "../../fs/names.ts";
import { resolve, resolveLink } from "../../fs/path.ts";
import { PathFile } from "../../fs/path_file.ts";
import { assertMay, MAY_READ, statusOfNode } from "../../fs/permission.ts";
import { Refusal, refuse } from "../refusal.ts";
import { assertImmediate, call, callAsync, settled } from "../system_call.ts";
import { SimProcess } from "./process.ts";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** What is known of a file that no path leads to. */
const ANONYMOUS_STATUS: FileStatus = {
  mode: 0o600,
  uid: 0,
  gid: 0,
  device: "0:0",
};

/** Opening, reading and writing files, and what is known of them. */
export class SimFiles extends SimProcess {
  /** The buffer for reading files. */
  readonly #scratch = new Uint8Array(4096);

  open(path: string, flags: number, mode = 0o644): number {
    return call("open", path, () => {
      const { root } = this.system;
      const node = nodeToOpen(root, path, this, flags, mode);
      if (node instanceof Refusal) return node;
      if ((flags & O_PATH) !== 0) {
        return this.install(new PathFile(path), flags, node);
      }
      if (node.kind === "link") return refuse("ELOOP");
      if (node.kind === "directory") {
        if ((flags & (O_ACCMODE | O_CREAT)) !== O_RDONLY) refuse("EISDIR");
        assertMay(this, node, MAY_READ);
        return this.install(new DirectoryFile(path, node), flags, node);
      }
      if ((flags & O_DIRECTORY) !== 0) return refuse("ENOTDIR");
      return this.install(node.open(this, flags, path), flags, node);
    });
  }

  close(fd: number): void {
    call("close", undefined, () => this.descriptors.close(fd));
  }

  read(fd: number, into: Uint8Array): number {
    return call(
      "read",
      undefined,
      () => this.descriptors.toRead(fd).read?.(into) ?? refuse("EINVAL"),
    );
  }

  write(fd: number, from: Uint8Array): number {
    return call(
      "write",
      undefined,
      () =>
        assertImmediate(
          this.descriptors.toWrite(fd).write?.(from) ?? refuse("EINVAL"),
        ),
    );
  }

  readlink(path: string): string {
    return call("readlink", path, () => {
      const node = resolveLink(this.system.root, path, this);
      if (node instanceof Refusal) return node;
      return node.kind === "link" ? node.target : refuse("EINVAL");
    });
  }

  readdir(path: string): string[] {
    return call("open", path, () => {
      const node = resolve(this.system.root, path, this);
      if (node instanceof Refusal) return node;
      if (node.kind !== "directory") return refuse("ENOTDIR");
      assertMay(this, node, MAY_READ);
      return [...node.names(this)].sort();
    });
  }

  stat(path: string): FileStatus {
    return call("statx", path, () => {
      const node = resolve(this.system.root, path, this);
      return node instanceof Refusal ? node : statusOfNode(node);
    });
  }

  lstat(path: string): FileStatus {
    return call("statx", path, () => {
      const node = resolveLink(this.system.root, path, this);
      return node instanceof Refusal ? node : statusOfNode(node);
    });
  }

  fstat(fd: number): FileStatus {
    return call("statx", "", () => {
      const { node } = this.descriptors.get(fd);
      return node === undefined ? ANONYMOUS_STATUS : statusOfNode(node);
    });
  }

  readFile(path: string): string {
    const fd = this.open(path, O_RDONLY);
    try {
      return this.#readAll(fd, path);
    } finally {
      this.close(fd);
    }
  }

  #readAll(fd: number, path: string): string {
    return call("read", path, () => {
      const { file } = this.descriptors.get(fd);
      if (file.text !== undefined) return file.text();
      let text = "";
      for (;;) {
        const length = file.read?.(this.#scratch) ?? refuse("EINVAL");
        if (length === 0) return text + DECODER.decode();
        const part = this.#scratch.subarray(0, length);
        text += DECODER.decode(part, { stream: true });
      }
    });
  }

  readFileBytes(path: string): Uint8Array<ArrayBuffer> {
    const fd = this.open(path, O_RDONLY);
    try {
      const { file } = this.descriptors.get(fd);
      const parts: number[] = [];
      for (;;) {
        const length = call(
          "read",
          path,
          () => file.read?.(this.#scratch) ?? refuse("EINVAL"),
        );
        if (length === 0) return new Uint8Array(parts);
        parts.push(...this.#scratch.subarray(0, length));
      }
    } finally {
      this.close(fd);
    }
  }

  async readFileAsync(
    path: string,
    { signal }: SignalOptions = {},
  ): Promise<string> {
    signal?.throwIfAborted();
    const fd = this.open(path, O_RDONLY);
    const read = async () => {
      await settled();
      await this.file(fd).readable?.();
      return this.#readAll(fd, path);
    };
    return await untilAborted(read().finally(() => this.close(fd)), signal);
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    try {
      call("write", path, () => assertImmediate(this.#put(fd, text)));
    } finally {
      this.close(fd);
    }
  }

  async writeFileAsync(
    path: string,
    text: string,
    { signal }: SignalOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    const fd = this.open(path, O_WRONLY);
    const write = async () => {
      await settled();
      await callAsync("write", path, () => this.#put(fd, text));
    };
    await untilAborted(write().finally(() => this.close(fd)), signal);
  }

  // The kernel does not pass an empty write to the attribute.
  #put(fd: number, text: string): number | Promise<number> {
    if (text === "") return 0;
    const { file } = this.descriptors.get(fd);
    return file.write?.(ENCODER.encode(text)) ?? refuse("EINVAL");
  }
}
