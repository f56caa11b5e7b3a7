import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
} from "../../uapi/pci/regs.ts";
import type { Bar } from "../models/model.ts";

const WORD = 0xffff_ffffn;

/** The base address registers of a config space. */
export class BarRegisters {
  readonly #view: DataView;
  readonly #bars: readonly (Bar | undefined)[];

  /**
   * @param view The config space.
   * @param bars The BARs, by number.
   */
  constructor(view: DataView, bars: readonly (Bar | undefined)[]) {
    this.#view = view;
    this.#bars = bars;
    this.mask();
  }

  /** Whether a byte of the registers belongs to a BAR. */
  has(byte: number): boolean {
    const number = byte >> 2;
    return byte >= 0 && (this.#bars[number] !== undefined ||
      this.#bars[number - 1]?.wide === true);
  }

  /** Writes the addresses of the BARs. */
  place(addresses: readonly (bigint | undefined)[]): void {
    for (const [number, bar] of this.#bars.entries()) {
      if (bar !== undefined) this.#put(number, bar, addresses[number] ?? 0n);
    }
  }

  /**
   * Clears the address bits that a BAR does not have. Ones that were written
   * then read back as its size.
   */
  mask(): void {
    for (const [number, bar] of this.#bars.entries()) {
      if (bar === undefined) continue;
      const low = BigInt(this.#view.getUint32(offsetOf(number), true));
      const high = bar.wide
        ? this.#view.getUint32(offsetOf(number + 1), true)
        : 0;
      this.#put(number, bar, BigInt(high) << 32n | low);
    }
  }

  #put(number: number, bar: Bar, address: bigint): void {
    const masked = address & -BigInt(bar.size) | BigInt(flagsOf(bar));
    this.#view.setUint32(offsetOf(number), Number(masked & WORD), true);
    if (!bar.wide) return;
    this.#view.setUint32(
      offsetOf(number + 1),
      Number(masked >> 32n & WORD),
      true,
    );
  }
}

function offsetOf(number: number): number {
  return PCI_BASE_ADDRESS_0 + 4 * number;
}

function flagsOf({ io, wide, prefetchable }: Bar): number {
  if (io) return PCI_BASE_ADDRESS_SPACE_IO;
  return (wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
    (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
}
