/**
 * The ports and the memory of a VGA controller, at the addresses that each has:
 * what `vfio_pci_vga_rw()` in `drivers/vfio/pci/vfio_pci_rdwr.c` reaches.
 *
 * @module
 */

/** The end of the memory, and so of the region. */
export const VGA_BYTES = 0xc0000;

/** Two ranges of ports, and the memory. */
const RANGES = [[0x3b0, 0x3bc], [0x3c0, 0x3e0], [0xa0000, VGA_BYTES]] as const;

/** A range of addresses. Its end is the first address behind it. */
export interface VgaRange {
  /** The end. */
  readonly size: number;
  /** Reads so many bytes. */
  read(at: number, width: number): bigint;
  /** Writes so many bytes. */
  write(at: number, width: number, value: bigint): void;
}

/** A VGA controller whose ports are memory, too: none has an effect. */
export class VgaPorts {
  readonly #bytes = new Uint8Array(VGA_BYTES);

  /**
   * Returns the range that an address is in, if it is in one.
   *
   * @param at The address.
   */
  rangeAt(at: number): VgaRange | undefined {
    const range = RANGES.find(([start, end]) => at >= start && at < end);
    if (range === undefined) return undefined;
    const bytes = this.#bytes;
    return {
      size: range[1],
      read(at, width) {
        let value = 0n;
        for (let i = width - 1; i >= 0; i--) {
          value = value << 8n | BigInt(bytes[at + i]!);
        }
        return value;
      },
      write(at, width, value) {
        for (let i = 0; i < width; i++) {
          bytes[at + i] = Number(value >> BigInt(8 * i) & 0xffn);
        }
      },
    };
  }
}
