import type { Piece } from "../iommu/io_map.ts";
import type { Pages } from "./memory.ts";

/** Where memory for processes begins: below 4 GiB, and above. */
const LOW = 0x100_0000n;
const HIGH = 0x1_0000_0000n;

/** A unit of memory: what is contiguous, and where it is. */
interface Unit {
  /** Its physical address. */
  readonly address: bigint;
  /** Its size in bytes. */
  readonly size: number;
  /** The memory that it is a part of. */
  readonly pages: Pages;
  /** Where it begins there, in bytes. */
  readonly start: number;
}

/**
 * The physical addresses of processes' memory. A unit, a page or a huge page,
 * gets its address when it is first asked for, by turns above 4 GiB and below,
 * so that two units of one memory are never contiguous.
 */
export class PhysicalMemory {
  #units: Unit[] = [];
  readonly #of = new WeakMap<Pages, readonly Unit[]>();
  #isHigh = false;

  /**
   * Returns where a byte of memory is, and how many bytes are contiguous from
   * there.
   *
   * @param pages The memory.
   * @param offset The byte.
   */
  locate(pages: Pages, offset: number): { address: bigint; length: number } {
    const units = this.#of.get(pages) ?? this.#place(pages);
    const unit = units[Math.floor(offset / pages.unit)]!;
    const within = offset - unit.start;
    return {
      address: unit.address + BigInt(within),
      length: unit.size - within,
    };
  }

  /**
   * Splits an access of a device that no IOMMU isolates into pieces, in order:
   * each has memory of a process, or none.
   *
   * @param address The physical address.
   * @param length Its length in bytes.
   */
  *translate(address: bigint, length: number): Generator<Piece> {
    const end = address + BigInt(length);
    for (let at = address; at < end;) {
      const unit = this.#units.find((unit) =>
        unit.address <= at && at < unit.address + BigInt(unit.size)
      );
      const left = Number(end - at);
      if (unit === undefined) {
        return yield { iova: at, length: left, bytes: undefined };
      }
      const within = Number(at - unit.address);
      const count = Math.min(left, unit.size - within);
      const from = unit.start + within;
      const bytes = unit.pages.bytes.subarray(from, from + count);
      yield { iova: at, length: count, bytes };
      at += BigInt(count);
    }
  }

  /** Forgets memory that is unmapped: others get its addresses. */
  forget(pages: Pages): void {
    if (!this.#of.delete(pages)) return;
    this.#units = this.#units.filter((unit) => unit.pages !== pages);
  }

  #place(pages: Pages): readonly Unit[] {
    const units: Unit[] = [];
    this.#of.set(pages, units);
    const size = pages.unit;
    for (let start = 0; start < pages.bytes.length; start += size) {
      const unit = { address: this.#free(BigInt(size)), size, pages, start };
      units.push(unit);
      this.#units.push(unit);
    }
    return units;
  }

  /** Returns the next free address, a multiple of the size. */
  #free(size: bigint): bigint {
    this.#isHigh = !this.#isHigh;
    let address = up(this.#isHigh ? HIGH : LOW, size);
    for (;;) {
      const taken = this.#units.find((unit) =>
        unit.address < address + size &&
        address < unit.address + BigInt(unit.size)
      );
      if (taken === undefined) return address;
      address = up(taken.address + BigInt(taken.size), size);
    }
  }
}

function up(address: bigint, size: bigint): bigint {
  return (address + size - 1n) / size * size;
}
