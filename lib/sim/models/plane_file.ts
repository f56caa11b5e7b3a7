import type { OpenFile } from "../fs/file.ts";
import { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";

/**
 * The dma-buf of a plane. What is mapped is a copy of that moment: JavaScript
 * has no two buffers of the same memory.
 */
export class PlaneFile implements OpenFile {
  readonly linkText = "/dmabuf:";
  readonly #copy: () => Uint8Array<ArrayBuffer>;

  /** @param copy Copies its contents. */
  constructor(copy: () => Uint8Array<ArrayBuffer>) {
    this.#copy = copy;
  }

  mmap(length: number, offset: bigint): Pages {
    const pixels = this.#copy();
    // dma_buf_mmap_internal(): whole pages of it.
    const pages = Math.ceil(pixels.length / 4096) * 4096;
    if (Number(offset) + length > pages) refuse("EINVAL");
    const bytes = new Uint8Array(length);
    bytes.set(pixels.subarray(Number(offset), Number(offset) + length));
    return new Pages(bytes);
  }

  close(): void {}
}
