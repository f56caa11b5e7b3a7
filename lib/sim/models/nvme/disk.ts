/** Blocks that are there once they were written; others read as zeros. */
export class NvmeDisk {
  readonly #written = new Map<number, Uint8Array>();
  /** Bytes in a block. */
  readonly blockSize: number;
  /** How many blocks there are. */
  readonly blocks: number;

  /**
   * Makes a disk of zeros.
   *
   * @param blocks How many blocks it has.
   * @param blockSize Bytes in a block.
   */
  constructor(blocks: number, blockSize: number) {
    this.blocks = blocks;
    this.blockSize = blockSize;
  }

  /** Reads blocks. */
  read(block: number, into: Uint8Array): void {
    for (let at = 0; at < into.length; at += this.blockSize, block++) {
      const written = this.#written.get(block);
      if (written === undefined) into.fill(0, at, at + this.blockSize);
      else into.set(written, at);
    }
  }

  /** Writes blocks. */
  write(block: number, from: Uint8Array): void {
    for (let at = 0; at < from.length; at += this.blockSize, block++) {
      this.#written.set(block, from.slice(at, at + this.blockSize));
    }
  }
}
