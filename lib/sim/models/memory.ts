import type { Bar, DeviceKind } from "./model.ts";

/** A function without a model. */
export interface MemoryFunction {
  /** Its BARs, by number. */
  readonly bars: readonly (MemoryBar | undefined)[];
  /** The number of its MSI vectors; 0 for none. */
  readonly msi: number;
  /** The number of its MSI-X vectors; 0 for none. */
  readonly msix: number;
  /** Whether it has an INTx pin. */
  readonly intx: boolean;
}

/** The size and the kind of a BAR. */
export type MemoryBar = Pick<Bar, "size" | "io" | "wide" | "prefetchable">;

const PAGE = 4096;

/**
 * Makes a function whose BARs are memory and that does nothing else.
 *
 * @param identity Its ids and its class.
 * @param fn Its BARs and interrupts.
 */
export function memoryFunction(
  identity: Pick<DeviceKind, "id" | "class" | "resets">,
  fn: MemoryFunction,
): DeviceKind {
  return {
    ...identity,
    name: "memory",
    create() {
      const bars = fn.bars.map((bar) => bar && new PagedBar(bar));
      return {
        ...fn,
        bars,
        reset() {
          for (const bar of bars) bar?.clear();
        },
      };
    },
  };
}

/** Memory of any size. Only the pages that were written are allocated. */
class PagedBar implements Bar {
  readonly size: number;
  readonly io: boolean;
  readonly wide: boolean;
  readonly prefetchable: boolean;
  readonly mappable: boolean;
  readonly #pages = new Map<number, DataView>();

  constructor(bar: MemoryBar) {
    const { size, io = false, wide = false, prefetchable = false } = bar;
    this.size = size;
    this.io = io;
    this.wide = wide;
    this.prefetchable = prefetchable;
    this.mappable = !io && size >= PAGE;
  }

  clear(): void {
    this.#pages.clear();
  }

  read(offset: number, width: number): bigint {
    const page = this.#pages.get(Math.floor(offset / PAGE));
    if (page === undefined) return 0n;
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      value = value << 8n | BigInt(page.getUint8(offset % PAGE + i));
    }
    return value;
  }

  write(offset: number, width: number, value: bigint): void {
    const number = Math.floor(offset / PAGE);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new DataView(new ArrayBuffer(PAGE));
      this.#pages.set(number, page);
    }
    for (let i = 0; i < width; i++) {
      const byte = value >> BigInt(8 * i) & 0xffn;
      page.setUint8(offset % PAGE + i, Number(byte));
    }
  }
}
