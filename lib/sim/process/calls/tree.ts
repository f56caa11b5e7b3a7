import type { Ownership } from "../../fs/file.ts";
import { lock } from "../../fs/flock.ts";
import {
  makeDirectory,
  makeLink,
  removeDirectory,
  removeFile,
  renameNode,
} from "../../fs/names.ts";
import { assertMayChange, statusOfNode } from "../../fs/permission.ts";
import { refuse } from "../refusal.ts";
import { call } from "../system_call.ts";
import { SimFiles } from "./files.ts";

/** Changing the tree of files: names, owners, permissions, locks. */
export class SimTree extends SimFiles {
  mkdir(path: string, mode: number): void {
    const { root } = this.system;
    call("mkdir", path, () => makeDirectory(root, path, this, mode));
  }

  rmdir(path: string): void {
    const { root } = this.system;
    call("rmdir", path, () => removeDirectory(root, path, this));
  }

  rename(from: string, to: string): void {
    const { root } = this.system;
    call("rename", to, () => renameNode(root, from, to, this));
  }

  unlink(path: string): void {
    call("unlink", path, () => removeFile(this.system.root, path, this));
  }

  symlink(target: string, path: string): void {
    const { root } = this.system;
    call("symlink", path, () => makeLink(root, path, this, target));
  }

  fchmod(fd: number, mode: number): void {
    call("fchmod", undefined, () => this.#change(fd, { mode }));
  }

  fchown(fd: number, uid: number, gid: number): void {
    const to = { ...(uid >= 0 && { uid }), ...(gid >= 0 && { gid }) };
    call("fchown", undefined, () => this.#change(fd, to));
  }

  #change(fd: number, to: Ownership): void {
    const { node } = this.descriptors.get(fd);
    if (node === undefined) return refuse("EINVAL");
    if (node.kind === "link") return refuse("EOPNOTSUPP");
    assertMayChange(this, statusOfNode(node), to);
    if (node.change === undefined) refuse("EPERM");
    node.change(to);
  }

  fsync(fd: number): void {
    call("fsync", undefined, () => {
      const file = this.file(fd);
      if (file.sync === undefined) refuse("EINVAL");
      file.sync();
    });
  }

  flock(fd: number, operation: number): void {
    call("flock", undefined, () => {
      const description = this.descriptors.get(fd);
      const { inode } = description.file;
      lock(inode ?? refuse("ENOLCK"), description, operation);
    });
  }
}
