import type { OpenFile } from "../fs/file.ts";
import { Pages } from "./memory.ts";
import { refuse } from "./refusal.ts";

/** A memory file (`mm/memfd.c`). */
export class MemoryFile implements OpenFile {
  readonly linkText: string;
  readonly pages = new Pages(new Uint8Array());
  #position = 0;

  /** @param name What people call it. */
  constructor(name: string) {
    this.linkText = `/memfd:${name} (deleted)`;
  }

  truncate(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.pages.bytes.subarray(0, length));
    this.pages.bytes = bytes;
  }

  read(into: Uint8Array): number {
    const length = this.pread(into, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  write(from: Uint8Array): number {
    const length = this.pwrite(from, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  pread(into: Uint8Array, offset: bigint): number {
    if (offset < 0n) refuse("EINVAL");
    const start = Number(offset);
    const part = this.pages.bytes.subarray(start, start + into.length);
    into.set(part);
    return part.length;
  }

  pwrite(from: Uint8Array, offset: bigint): number {
    if (offset < 0n) refuse("EINVAL");
    const end = Number(offset) + from.length;
    if (end > this.pages.bytes.length) this.truncate(end);
    this.pages.bytes.set(from, Number(offset));
    return from.length;
  }

  sync(): void {}

  close(): void {}
}
