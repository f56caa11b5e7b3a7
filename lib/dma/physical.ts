import { ignoreErrors } from "../../backends/teardown.ts";
import { VfioError } from "../errors.ts";
import { hex } from "../hex.ts";
import type { DmaMemory } from "./memory.ts";

/**
 * Allocates memory that a device reaches by its physical addresses. Nobody can
 * choose these: what lies beyond the device's reach is kept until some does not,
 * and then freed.
 *
 * @param dmaMask The addresses that the device can put on the bus.
 * @param allocate Allocates memory, each time other memory.
 * @returns The first memory all of whose addresses the device reaches.
 * @throws {VfioError} `NO_MEMORY` if there is none, and what `allocate` throws.
 */
export function allocateWithin(
  dmaMask: bigint | undefined,
  allocate: () => DmaMemory,
): DmaMemory {
  const unfit = new Set<DmaMemory>();
  try {
    for (;;) {
      const memory = next(allocate, unfit.size, dmaMask);
      unfit.add(memory);
      if (!isWithin(memory, dmaMask)) continue;
      unfit.delete(memory);
      return memory;
    }
  } finally {
    // Linux refuses that only when it lacks memory, which passes. What is left
    // is freed with the space.
    for (const memory of [...unfit, ...unfit]) {
      ignoreErrors(() => memory.free());
    }
  }
}

function next(
  allocate: () => DmaMemory,
  unfit: number,
  dmaMask: bigint | undefined,
): DmaMemory {
  try {
    return allocate();
  } catch (error) {
    const isLast = unfit > 0 && dmaMask !== undefined &&
      error instanceof VfioError && error.code === "NO_MEMORY";
    if (!isLast) throw error;
    throw new VfioError("NO_MEMORY", {
      problem: `none of ${unfit} free huge pages lies within ${hex(dmaMask)}`,
      hint: "reserve huge pages early, at boot, or more of them; or take a " +
        "device with more address bits",
      cause: error,
    });
  }
}

/** Also finds out whether the addresses can be known at all. */
function isWithin(memory: DmaMemory, dmaMask: bigint | undefined): boolean {
  for (let offset = 0; offset < memory.size;) {
    const { address, length } = memory.physical(offset);
    const last = address + BigInt(length) - 1n;
    if (dmaMask !== undefined && last > dmaMask) return false;
    offset += length;
  }
  return true;
}
