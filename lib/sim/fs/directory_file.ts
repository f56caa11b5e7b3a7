import type { Directory, OpenFile } from "./file.ts";
import { refuse } from "../process/refusal.ts";

/** An open directory. It cannot be read as a file. */
export class DirectoryFile implements OpenFile {
  readonly linkText: string;
  readonly inode: object | undefined;

  /**
   * Opens a directory.
   *
   * @param path Its path.
   * @param directory The directory.
   */
  constructor(path: string, { entries }: Directory) {
    this.linkText = path;
    this.inode = entries;
  }

  read(): number {
    return refuse("EISDIR");
  }

  pread(): number {
    return refuse("EISDIR");
  }

  sync(): void {
    if (this.inode === undefined) refuse("EINVAL");
  }

  close(): void {}
}
