import { shortJson } from "../../printable.ts";

/** A range of IOVAs, `last` inclusive. */
export interface IovaWindow {
  /** The first IOVA. */
  readonly start: bigint;
  /** The last IOVA. */
  readonly last: bigint;
}

/** The addresses where x86 treats a write as an interrupt message. */
const MSI_WINDOW: IovaWindow = { start: 0xfee0_0000n, last: 0xfeef_ffffn };

/** Memory that the firmware keeps mapped for a device: Intel's RMRR. */
export interface ReservedRegion extends IovaWindow {
  /** Its type, in the kernel's words. */
  readonly type: "direct" | "direct-relaxable";
}

/**
 * Parses a description of memory that the firmware keeps mapped.
 *
 * @param text `"0xe8000 0xe8fff direct"`.
 * @throws {TypeError} When it has another format.
 */
export function parseReserved(text: string): ReservedRegion {
  const [, start, last, type] =
    /^(0x[0-9a-f]+) (0x[0-9a-f]+) (direct|direct-relaxable)$/.exec(text) ?? [];
  if (
    start === undefined || last === undefined || BigInt(start) > BigInt(last)
  ) {
    throw new TypeError(
      `Cannot parse reserved memory ${shortJson(text)}: ` +
        'expected a text such as "0xe8000 0xe8fff direct"',
    );
  }
  return {
    start: BigInt(start),
    last: BigInt(last),
    type: type as ReservedRegion["type"],
  };
}

/** An IOMMU and the IOVAs that it translates. */
export class Iommu {
  /** Its kind: the start of its name in `/sys/class/iommu`. */
  readonly kind: "dmar" | "ivhd";
  /** The windows that it does not translate, ascending. */
  readonly reserved: readonly IovaWindow[] = [MSI_WINDOW];
  /** The last IOVA. */
  readonly last: bigint;
  /** Whether it logs which pages devices write. */
  readonly dirtyTracking: boolean;

  /**
   * Makes an IOMMU.
   *
   * @param kind Its kind.
   * @param dirtyTracking Whether it logs which pages devices write.
   * @param addressBits The number of address bits that it translates.
   */
  constructor(kind: "dmar" | "ivhd", dirtyTracking = false, addressBits = 48) {
    this.dirtyTracking = dirtyTracking;
    this.kind = kind;
    this.last = (1n << BigInt(addressBits)) - 1n;
  }

  /**
   * The IOVAs that can be mapped, ascending: all except the reserved windows.
   */
  get ranges(): IovaWindow[] {
    const ranges: IovaWindow[] = [];
    let start = 0n;
    for (const window of this.reserved) {
      ranges.push({ start, last: window.start - 1n });
      start = window.last + 1n;
    }
    return [...ranges, { start, last: this.last }];
  }

  /** Whether all of `[start, last]` can be mapped. */
  translates(start: bigint, last: bigint): boolean {
    return this.ranges.some((range) =>
      range.start <= start && last <= range.last
    );
  }
}
