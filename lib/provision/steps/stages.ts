/**
 * Which steps can be made at once.
 *
 * @module
 */

import type { Host } from "../../host/host.ts";
import { functionIfThere } from "./functions.ts";
import type { Step } from "./step.ts";

/** What a step's function has to do with those of others. */
interface Place {
  readonly address: string;
  /** Its IOMMU group, which only whole changes hands; else itself. */
  readonly lane: string;
  /** The function that it is a virtual function of. */
  readonly physical: string | undefined;
}

/**
 * Cuts a list into stages, which come one after the other. Each is made of
 * lanes, which do not touch each other and can go at once: functions of
 * different groups, but no function beside a virtual function of its own. The
 * order is kept within a lane and between stages. A stage is cut when it is
 * asked for: those before it may have made its functions.
 *
 * @param host The host.
 * @param items The list.
 * @param stepOf The step that an item is about.
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
      place === undefined || places.some((other) => inTheWay(other, place!))
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

/** Where a step belongs; `undefined` where nothing may go beside it. */
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
    // What cannot be asked is told by the step itself. An attribute's device
    // need not be a PCI function.
    return undefined;
  }
}

function inTheWay(a: Place, b: Place): boolean {
  return a.physical === b.address || b.physical === a.address;
}
