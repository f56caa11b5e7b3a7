import { shortJson } from "../../printable.ts";

/** A range of IOVAs, `last` inclusive. */
export interface IovaWindow {
  /** The first IOVA. */
  readonly start: bigint;
  /** The last IOVA. */
  readonly last: bigint;
}

/** A window that an IOMMU does not translate. */
export interface ReservedWindow extends IovaWindow {
  /** Its type, in the kernel's words. */
  readonly type: "msi" | "reserved";
}

/** The addresses where x86 treats a write as an interrupt message. */
const MSI_WINDOW: ReservedWindow = {
  start: 0xfee0_0000n,
  last: 0xfeef_ffffn,
  type: "msi",
};

/** The addresses that HyperTransport has for itself (`HT_RANGE_START`). */
const HT_WINDOW: ReservedWindow = {
  start: 0xfd_0000_0000n,
  last: 0xff_ffff_ffffn,
  type: "reserved",
};

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

/** What an IOMMU is, as its driver in the kernel has it. */
interface IommuKind {
  /** Its name in `/sys/class/iommu`. */
  readonly unit: string;
  /** How many bits of an IOVA it translates. */
  readonly addressBits: number;
  /** The windows that it does not translate, ascending. */
  readonly reserved: readonly ReservedWindow[];
  /** The sizes of its pages, one bit each. */
  readonly pageSizes: bigint;
  /** Whether it remaps interrupts. */
  readonly remaps: boolean;
  /** Whether it forces DMA to be coherent with the processor's caches. */
  readonly forcesCoherency: boolean;
}

const KINDS = {
  dmar: {
    unit: "dmar0",
    addressBits: 48,
    reserved: [MSI_WINDOW],
    pageSizes: 0x4020_1000n,
    remaps: true,
    forcesCoherency: false,
  },
  // It takes each power of two.
  ivhd: {
    unit: "ivhd0",
    addressBits: 64,
    reserved: [MSI_WINDOW, HT_WINDOW],
    pageSizes: ~0xfffn & (1n << 64n) - 1n,
    remaps: true,
    forcesCoherency: true,
  },
  // Named after the function that it is. QEMU gives it so many bits by default.
  virtio: {
    unit: "0000:00:1b.0",
    addressBits: 39,
    reserved: [MSI_WINDOW],
    pageSizes: ~0xfffn & (1n << 64n) - 1n,
    remaps: false,
    forcesCoherency: false,
  },
} as const satisfies Record<string, IommuKind>;

/** What an IOMMU can do beyond its kind. */
export interface IommuOptions {
  /** Whether it logs which pages devices write. */
  readonly dirtyTracking?: boolean;
  /**
   * Whether it translates by page tables of the first stage, whose addresses
   * have a sign: Intel's in scalable mode.
   */
  readonly firstStage?: boolean;
}

/** An IOMMU and the IOVAs that it translates. */
export class Iommu {
  /** Its kind. */
  readonly kind: keyof typeof KINDS;
  /** The last IOVA. */
  readonly last: bigint;
  /** Whether it logs which pages devices write. */
  readonly dirtyTracking: boolean;
  readonly #kind: IommuKind;

  /**
   * Makes an IOMMU.
   *
   * @param kind Its kind.
   * @param options What it can do besides.
   */
  constructor(kind: keyof typeof KINDS, options: IommuOptions = {}) {
    const { dirtyTracking = false, firstStage = false } = options;
    this.kind = kind;
    this.#kind = KINDS[kind];
    this.dirtyTracking = dirtyTracking;
    const bits = this.#kind.addressBits - (firstStage ? 1 : 0);
    this.last = (1n << BigInt(bits)) - 1n;
  }

  /** Its name in `/sys/class/iommu`. */
  get unit(): string {
    return this.#kind.unit;
  }

  /** The windows that it does not translate, ascending. */
  get reserved(): readonly ReservedWindow[] {
    return this.#kind.reserved;
  }

  /** The sizes of its pages, one bit each. */
  get pageSizes(): bigint {
    return this.#kind.pageSizes;
  }

  /** Whether it remaps interrupts. */
  get remaps(): boolean {
    return this.#kind.remaps;
  }

  /** Whether it forces DMA to be coherent with the processor's caches. */
  get forcesCoherency(): boolean {
    return this.#kind.forcesCoherency;
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
