import { hex } from "../hex.ts";
import type { IommuLimits, IovaRange } from "../../backends/backend.ts";
import { VfioError } from "../errors.ts";
import { difference } from "../ranges.ts";
import type { ReservedRegion } from "../host/device.ts";
import { IovaAllocator, type PageRun } from "./iova_allocator.ts";
import type { MapOptions } from "./mapping.ts";

/** The unit in which IOVAs are given out, in bytes: the smallest IOMMU page. */
const PAGE = 4096;

/** The end of the IOVAs, in bytes. */
const IOVA_END = 1n << 64n;

/** The same in pages. */
const PAGES_END = pageOf(IOVA_END);

/** An IOMMU's largest page, 1 GiB, in pages. Aligning to more does not help. */
const LARGEST_PAGE = 2 ** 30 / PAGE;

/** A device on its way into the space. */
interface Arrival {
  /** Reads what its group has reserved. */
  readonly read: () => readonly ReservedRegion[];
  /** What that gave. It is read when something is mapped meanwhile. */
  reserved: readonly ReservedRegion[] | undefined;
}

/** Where the mappings of an address space lie, in bytes. */
export class IovaSpace<T = undefined> {
  readonly #pages: IovaAllocator<T>;
  readonly #arrivals = new Set<Arrival>();
  #limits: IommuLimits;
  /** What IOVAs are multiples of, in bytes. */
  #unit: number;

  /** @param limits What the IOMMU can translate. */
  constructor(limits: IommuLimits) {
    this.#limits = limits;
    this.#unit = unitOf(limits);
    this.#pages = new IovaAllocator(pageRuns(limits.ranges));
    this.#apply();
  }

  /** What the IOMMU can translate from now on. */
  set limits(limits: IommuLimits) {
    this.#limits = limits;
    this.#unit = unitOf(limits);
    this.#apply();
  }

  /**
   * Keeps what a device has reserved free of mappings while it is on its way.
   * Then the limits leave it out.
   *
   * @param reserved Reads what its group has reserved.
   * @returns Disposing of it ends that.
   */
  arrive(reserved: () => readonly ReservedRegion[]): Disposable {
    const arrival: Arrival = { read: reserved, reserved: undefined };
    this.#arrivals.add(arrival);
    return {
      [Symbol.dispose]: () => {
        this.#arrivals.delete(arrival);
        if (arrival.reserved !== undefined) this.#apply();
      },
    };
  }

  /** Whether IOVAs are names only, since no IOMMU translates them. */
  get #onlyNames(): boolean {
    return this.#limits.ranges.length === 0;
  }

  #apply(): void {
    const reserved = [...this.#arrivals]
      .flatMap((arrival) => arrival.reserved ?? [])
      .filter(({ type }) => type !== "direct-relaxable");
    this.#pages.ranges = this.#onlyNames
      ? [{ first: 0, end: PAGES_END }]
      : pageRuns(difference(this.#limits.ranges, reserved));
  }

  #readArrivals(): void {
    const unread = [...this.#arrivals]
      .filter(({ reserved }) => reserved === undefined);
    if (unread.length === 0) return;
    for (const arrival of unread) arrival.reserved = arrival.read();
    this.#apply();
  }

  /**
   * Finds a range of IOVAs and takes it.
   *
   * @param size Bytes, whole pages.
   * @param options Where to place it.
   * @returns The first page of 4 KiB.
   * @throws {RangeError} If the size, the IOVA or the mask is invalid.
   * @throws {VfioError} `IOVA_EXHAUSTED`, `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`.
   */
  place(size: number, options: MapOptions): number {
    const page = this.find(size, options);
    this.take(page, size);
    return page;
  }

  /**
   * Takes a range that {@linkcode IovaSpace.find} found.
   *
   * @param page Its first page of 4 KiB.
   * @param size Bytes.
   * @param holder What it is taken by.
   */
  take(page: number, size: number, holder?: T): void {
    this.#pages.take(page, size / PAGE, holder);
  }

  /** What is taken from a page on, if that is known. */
  holder(page: number): T | undefined {
    return this.#pages.holder(page);
  }

  /** What the first range is taken by of those in `[first, end)`, in pages. */
  firstHolder(first: number, end: number): T | undefined {
    for (;;) {
      const run = this.#pages.overlap(first, end);
      if (run === undefined) return undefined;
      const holder = this.#pages.holder(run.first);
      if (holder !== undefined) return holder;
      // Somebody is mapping it.
      first = run.end;
    }
  }

  /** Says what the range is taken by that begins at a page. */
  hold(page: number, holder: T): void {
    this.#pages.hold(page, holder);
  }

  /** What ranges are taken by, ascending. */
  holders(): Iterable<T> {
    return this.#pages.holders();
  }

  /**
   * Finds a range of IOVAs that is free, and can be translated.
   *
   * @param size Bytes, whole pages.
   * @param options Where to place it.
   * @returns The first page of 4 KiB.
   * @throws {RangeError} If the size, the IOVA or the mask is invalid.
   * @throws {VfioError} `IOVA_EXHAUSTED`, `IOVA_OUT_OF_RANGE`, `IOVA_OVERLAP`.
   */
  find(size: number, { iova, dmaMask, alignment }: MapOptions): number {
    if (size % this.#unit !== 0) {
      throw new RangeError(
        `Cannot map ${size} bytes: expected a multiple of ${this.#unit}`,
      );
    }
    if (this.#arrivals.size > 0) this.#readArrivals();
    const pages = size / PAGE;
    return iova === undefined
      ? this.#choose(pages, dmaMask, alignment)
      : this.#free(pages, iova);
  }

  /** Releases what {@linkcode IovaSpace.place} took. */
  release(page: number): void {
    this.#pages.release(page);
  }

  /** Finds room for pages and returns the first of them. */
  #choose(
    pages: number,
    dmaMask: bigint | undefined,
    alignment: number | undefined,
  ): number {
    const within = dmaMask === undefined ? PAGES_END : pagesWithin(dmaMask);
    const limit = this.#onlyNames ? PAGES_END : within;
    const least = this.#alignment(pages);
    const step = alignment === undefined
      ? least
      : Math.max(least, alignmentPages(alignment));
    const first = this.#pages.find(pages, step, limit);
    if (first !== undefined) return first;
    throw new VfioError("IOVA_EXHAUSTED", {
      problem: `no ${pages * PAGE} bytes of IOVA are free within ` +
        hex(dmaMask ?? IOVA_END - 1n),
      hint: "unmap what is not needed; space.limits().ranges lists the ranges",
    });
  }

  // An IOMMU translates a large aligned range with few large pages.
  #alignment(pages: number): number {
    const log2 = 31 - Math.clz32(Math.min(pages, LARGEST_PAGE));
    return Math.max(this.#unit / PAGE, 1 << log2);
  }

  /** The first of free pages at an IOVA that the caller chose. */
  #free(pages: number, iova: bigint): number {
    if (iova < 0n || iova % BigInt(this.#unit) !== 0n) {
      throw new RangeError(
        `Cannot map at IOVA ${hex(iova)}: expected a multiple of ${this.#unit}`,
      );
    }
    const first = pageOf(iova);
    const end = first + pages;
    if (this.#onlyNames || !this.#pages.contains(first, end)) {
      const usable = this.#limits.ranges
        .map(({ start, last }) => `${hex(start)}-${hex(last)}`);
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: `the IOMMU cannot translate ${pages * PAGE} bytes at IOVA ` +
          hex(iova),
        hint: this.#onlyNames
          ? "without an IOMMU nothing can be mapped at an IOVA: leave it out"
          : `it can translate ${usable.join(", ")}`,
      });
    }
    const taken = this.#pages.overlap(first, end);
    if (taken !== undefined) {
      throw new VfioError("IOVA_OVERLAP", {
        problem: `${pages * PAGE} bytes at IOVA ${hex(iova)} overlap a ` +
          `mapping at ${hex(BigInt(taken.first) * BigInt(PAGE))}`,
        hint: "unmap that one first, or leave the IOVA to the space",
      });
    }
    return first;
  }
}

function unitOf({ alignment }: IommuLimits): number {
  return Math.max(Number(alignment), PAGE);
}

/** IOVA ranges as the allocator counts them; parts of pages are left out. */
function pageRuns(ranges: readonly IovaRange[]): PageRun[] {
  return ranges.map(({ start, last }) => ({
    first: pageOf(start + BigInt(PAGE - 1)),
    end: pageOf(last + 1n),
  }));
}

/** How many pages an alignment is, of which a page is the least. */
function alignmentPages(alignment: number): number {
  if (alignment >= 1 && Number.isInteger(Math.log2(alignment))) {
    return Math.max(alignment / PAGE, 1);
  }
  throw new RangeError(
    `Cannot align to ${alignment} bytes: expected a power of two`,
  );
}

/** How many pages a device with that DMA mask reaches. */
function pagesWithin(dmaMask: bigint): number {
  const end = dmaMask + 1n;
  if (dmaMask <= 0n || end > IOVA_END || (dmaMask & end) !== 0n) {
    throw new RangeError(
      `Cannot map within DMA mask ${hex(dmaMask)}: expected the lowest 1 to ` +
        "64 bits to be set, and no other",
    );
  }
  return pageOf(end);
}

/** The page of 4 KiB that an IOVA lies in. */
export function pageOf(iova: bigint): number {
  return Number(iova / BigInt(PAGE));
}
