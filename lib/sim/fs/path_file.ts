import type { OpenFile } from "./file.ts";

/** What O_PATH opens: a place in the tree, and nothing to read or write. */
export class PathFile implements OpenFile {
  readonly linkText: string;

  /** @param path Its path. */
  constructor(path: string) {
    this.linkText = path;
  }

  close(): void {}
}
