import { linux_dirent64 } from "../../uapi/linux/dirent.ts";
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  statx as statxLayout,
  STATX_BASIC_STATS,
} from "../../uapi/linux/statx.ts";
import type { FileStatus } from "../kernel.ts";
import { cPath, errno, fail, lazily, pinned } from "./library.ts";

export const files = lazily({
  open: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // mode_t mode, the variadic argument
    ],
    result: "i32",
  },
  close: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
});

const writes = lazily({
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
});

const entries = lazily({
  readlink: {
    parameters: [
      "buffer", // const char *pathname
      "buffer", // char *buf
      "usize", // size_t bufsiz
    ],
    result: "isize",
  },
  getdents64: {
    parameters: [
      "i32", // int fd
      "buffer", // void *dirp
      "usize", // size_t count
    ],
    result: "isize",
  },
});

const status = lazily({
  statx: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // unsigned int mask
      "buffer", // struct statx *statxbuf
    ],
    result: "i32",
  },
});

/** Larger than any attribute: sysfs's are one page. */
export const SCRATCH_BYTES: number = 64 * 1024;

const ALL_SCRATCH = BigInt(SCRATCH_BYTES);

/** How many times larger the next buffer is, for a file that does not fit. */
const GROWTH = 8;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Opening, reading and writing files, and what is known of them. */
export class LibcFiles {
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);

  open(path: string, flags: number, mode = 0o644): number {
    const fd = files().open(cPath(path), flags | O_CLOEXEC, mode);
    return fd < 0 ? fail(errno[0]!, "open", path) : fd;
  }

  close(fd: number): void {
    if (files().close(fd) < 0) fail(errno[0]!, "close");
  }

  read(fd: number, into: Uint8Array): number {
    const bytes = files().read(fd, pinned(into), BigInt(into.length));
    return bytes < 0 ? fail(errno[0]!, "read") : Number(bytes);
  }

  write(fd: number, from: Uint8Array): number {
    const bytes = writes().write(fd, pinned(from), BigInt(from.length));
    return bytes < 0 ? fail(errno[0]!, "write") : Number(bytes);
  }

  readlink(path: string): string {
    const scratch = this.#scratch;
    const bytes = entries().readlink(cPath(path), scratch, ALL_SCRATCH);
    return bytes < 0
      ? fail(errno[0]!, "readlink", path)
      : this.#text(Number(bytes));
  }

  readdir(path: string): string[] {
    const fd = this.open(path, O_RDONLY | O_DIRECTORY);
    try {
      const names: string[] = [];
      for (;;) {
        const bytes = entries().getdents64(fd, this.#scratch, ALL_SCRATCH);
        if (bytes < 0) fail(errno[0]!, "getdents64", path);
        if (bytes === 0n) break;
        names.push(...this.#names(Number(bytes)));
      }
      return names.filter((name) => name !== "." && name !== "..").sort();
    } finally {
      this.close(fd);
    }
  }

  stat(path: string): FileStatus {
    return this.#statx(AT_FDCWD, path, 0);
  }

  lstat(path: string): FileStatus {
    return this.#statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  }

  fstat(fd: number): FileStatus {
    return this.#statx(fd, "", AT_EMPTY_PATH);
  }

  #statx(directory: number, path: string, flags: number): FileStatus {
    const result = status().statx(
      directory,
      cPath(path),
      flags,
      STATX_BASIC_STATS,
      this.#scratch,
    );
    if (result < 0) fail(errno[0]!, "statx", path);
    // Decoding all of it takes longer than the call.
    const { offset } = statxLayout;
    const view = new DataView(this.#scratch.buffer);
    const major = view.getUint32(offset.stx_rdev_major, true);
    const minor = view.getUint32(offset.stx_rdev_minor, true);
    return {
      mode: view.getUint16(offset.stx_mode, true),
      uid: view.getUint32(offset.stx_uid, true),
      gid: view.getUint32(offset.stx_gid, true),
      device: `${major}:${minor}`,
    };
  }

  readFile(path: string): string {
    return decoder.decode(this.#readToEnd(path));
  }

  readFileBytes(path: string): Uint8Array<ArrayBuffer> {
    return this.#readToEnd(path).slice();
  }

  /** The bytes of a file, until the next call that uses the scratch buffer. */
  #readToEnd(path: string): Uint8Array<ArrayBuffer> {
    const fd = this.open(path, O_RDONLY);
    try {
      let bytes = this.#scratch;
      for (let end = 0;;) {
        const count = end === 0
          ? files().read(fd, bytes, ALL_SCRATCH)
          : files().read(fd, bytes.subarray(end), BigInt(bytes.length - end));
        if (count < 0) fail(errno[0]!, "read", path);
        if (count === 0n) return bytes.subarray(0, end);
        end += Number(count);
        if (end < bytes.length) continue;
        const larger = new Uint8Array(GROWTH * end);
        larger.set(bytes);
        bytes = larger;
      }
    } finally {
      this.close(fd);
    }
  }

  writeFile(path: string, text: string): void {
    const fd = this.open(path, O_WRONLY);
    const bytes = encoder.encode(text);
    try {
      if (writes().write(fd, bytes, BigInt(bytes.length)) < 0) {
        fail(errno[0]!, "write", path);
      }
    } finally {
      this.close(fd);
    }
  }

  /**
   * The names of directory entries. They are gathered in front, and decoded at
   * once, as decoding each takes longer than the call.
   */
  #names(bytes: number): string[] {
    const { d_reclen, d_name } = linux_dirent64.offset;
    const scratch = this.#scratch;
    const view = new DataView(scratch.buffer);
    let end = 0;
    for (let at = 0; at < bytes;) {
      const next = at + view.getUint16(at + d_reclen, true);
      const start = at + d_name;
      const length = scratch.indexOf(0, start) + 1 - start;
      scratch.copyWithin(end, start, start + length);
      end += length;
      at = next;
    }
    return this.#text(end - 1).split("\0");
  }

  #text(end: number, start = 0): string {
    return decoder.decode(this.#scratch.subarray(start, end));
  }
}
