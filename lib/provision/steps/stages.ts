/**
 * Decides which steps can be made in parallel.
 *
 * @module
 */

import type { Host } from "../../host/host.ts";
import { functionIfThere } from "./functions.ts";
import type { Step } from "./step.ts";

/** Where a step's function is in relation to others. */
interface Place {
  readonly address: string;
  /**
   * Its IOMMU group, or its address without a group. Steps of one lane run one
   * by one.
   */
  readonly lane: string;
  /** The function that it is a virtual function of. */
  readonly physical: string | undefined;
}

/**
 * Divides a list into stages, which come one after the other. A stage has
 * lanes, which are independent and can run in parallel. A lane has the
 * functions of one IOMMU group; a function and its virtual functions are in
 * different stages. The order is kept within a lane and between stages.
 *
 * A stage is computed when the caller asks for it, since the stages before may
 * create its functions.
 *
 * @param host The host.
 * @param items The list.
 * @param stepOf Returns the step of an item.
 */
export function* stages<T>(
  host: Host,
  items: readonly T[],
  stepOf: (item: T) => Step,
): Generator<T[][]> {
  let lanes = new Map<string, T[]>();
  let stage = new Members();
  for (const item of items) {
    let place = placeOf(host, stepOf(item));
    if (place === undefined || stage.isRelated(place)) {
      if (lanes.size > 0) yield [...lanes.values()];
      lanes = new Map();
      stage = new Members();
      place = placeOf(host, stepOf(item));
    }
    if (place === undefined) {
      yield [[item]];
      continue;
    }
    stage.add(place);
    const lane = lanes.get(place.lane);
    if (lane === undefined) lanes.set(place.lane, [item]);
    else lane.push(item);
  }
  if (lanes.size > 0) yield [...lanes.values()];
}

/** The place of a step; `undefined` when the step must run alone. */
function placeOf(host: Host, step: Step): Place | undefined {
  if (
    step.kind !== "driver" && step.kind !== "attribute" && step.kind !== "node"
  ) {
    return undefined;
  }
  if (step.device === undefined) return undefined;
  try {
    const fn = functionIfThere(host, step.device);
    if (fn === undefined) return undefined;
    const { address, iommuGroup } = fn;
    const physical = fn.physicalFunction?.address;
    return { address, lane: iommuGroup?.id ?? address, physical };
  } catch {
    // The step itself reports what cannot be read. The device of an attribute
    // may be no PCI function.
    return undefined;
  }
}

/** The functions of a stage. */
class Members {
  readonly #addresses = new Set<string>();
  readonly #physical = new Set<string>();

  add({ address, physical }: Place): void {
    this.#addresses.add(address);
    if (physical !== undefined) this.#physical.add(physical);
  }

  /** Whether it has the physical function of a function, or virtual ones. */
  isRelated({ address, physical }: Place): boolean {
    return this.#physical.has(address) ||
      physical !== undefined && this.#addresses.has(physical);
  }
}
