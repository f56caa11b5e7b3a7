/** A range of IOVAs, `last` inclusive. */
export interface IovaWindow {
  /** The first IOVA. */
  readonly start: bigint;
  /** The last IOVA. */
  readonly last: bigint;
}

/** Where x86 takes a write for an interrupt message. */
const MSI_WINDOW: IovaWindow = { start: 0xfee0_0000n, last: 0xfeef_ffffn };

/** Memory that the firmware keeps mapped for a device: Intel's RMRR. */
export interface ReservedRegion extends IovaWindow {
  /** What it is, in the kernel's words. */
  readonly type: "direct" | "direct-relaxable";
}

/**
 * Reads what a topology says of memory that is kept mapped.
 *
 * @param text `"0xe8000 0xe8fff direct"`.
 * @throws {TypeError} When it is something else.
 */
export function parseReserved(text: string): ReservedRegion {
  const [, start, last, type] =
    /^(0x[0-9a-f]+) (0x[0-9a-f]+) (direct|direct-relaxable)$/.exec(text) ?? [];
  if (start === undefined || last === undefined) {
    throw new TypeError(
      `Cannot parse reserved memory ${JSON.stringify(text)}: ` +
        'expected such as "0xe8000 0xe8fff direct"',
    );
  }
  return {
    start: BigInt(start),
    last: BigInt(last),
    type: type as ReservedRegion["type"],
  };
}

/** What an IOMMU can translate. */
export class Iommu {
  /** What it is: its name's beginning in `/sys/class/iommu`. */
  readonly kind: "dmar" | "ivhd";
  /** The windows that it does not translate, ascending. */
  readonly reserved: readonly IovaWindow[] = [MSI_WINDOW];
  /** The last IOVA. */
  readonly last: bigint;

  /**
   * An IOMMU.
   *
   * @param kind What it is.
   * @param addressBits How many bits of an IOVA it translates.
   */
  constructor(kind: "dmar" | "ivhd", addressBits = 48) {
    this.kind = kind;
    this.last = (1n << BigInt(addressBits)) - 1n;
  }

  /** What can be mapped: what the reserved windows leave, ascending. */
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
