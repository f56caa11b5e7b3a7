import { mappingLimit } from "../../backends/mapping_limit.ts";
import type { DmaMapping } from "./mapping.ts";

/** How many more mappings the kernel takes, where it has such a limit. */
export class MappingRoom {
  #left: number | undefined;
  /** Of those that are more than one for the kernel, how many. */
  readonly #parts = new WeakMap<DmaMapping, number>();

  /** How many more it takes, as it has just said. */
  set available(count: number | undefined) {
    this.#left = count;
  }

  /**
   * Refuses what the kernel would refuse.
   *
   * @param mapping The mapping.
   * @param count How many mappings it is for the kernel.
   * @throws {VfioError} `MAPPING_LIMIT`
   */
  assert({ bytes }: DmaMapping, count: number): void {
    if (this.#left === undefined || this.#left >= count) return;
    throw mappingLimit(`${bytes} bytes`);
  }

  /** Notes a mapping. */
  take(mapping: DmaMapping, count: number): void {
    if (count > 1) this.#parts.set(mapping, count);
    if (this.#left !== undefined) this.#left -= count;
  }

  /** Notes that a mapping is gone. */
  release(mapping: DmaMapping): void {
    if (this.#left === undefined) return;
    this.#left += this.#parts.get(mapping) ?? 1;
  }
}
