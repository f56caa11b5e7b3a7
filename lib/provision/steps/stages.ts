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
  let places: Place[] = [];
  for (const item of items) {
    let place = placeOf(host, stepOf(item));
    if (
      place === undefined || places.some((other) => areRelated(other, place!))
    ) {
      if (lanes.size > 0) yield [...lanes.values()];
      lanes = new Map();
      places = [];
      place = placeOf(host, stepOf(item));
    }
    if (place === undefined) {
      yield [[item]];
      continue;
    }
    places.push(place);
    lanes.set(place.lane, [...lanes.get(place.lane) ?? [], item]);
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

function areRelated(a: Place, b: Place): boolean {
  return a.physical === b.address || b.physical === a.address;
}
