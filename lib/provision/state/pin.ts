/**
 * Records a function's hardware, and compares it later.
 *
 * @module
 */

import { idPair } from "../../hex.ts";
import { VfioError } from "../../errors.ts";
import { PciFunction } from "../../host/pci/function.ts";
import type { Pin } from "./state.ts";

/**
 * Returns a function's hardware as it is now, for
 * {@linkcode FunctionState.pin}. With that pin, a state is not applied to
 * another card.
 *
 * @param fn The function.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { pinOf } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3" } },
 * });
 * console.log(JSON.stringify(pinOf(host.function("0000:01:00.0"))));
 * ```
 */
export function pinOf(fn: PciFunction): Pin {
  const group = groupOf(fn);
  return {
    id: namedId(fn),
    subsystem: idPair(fn.subsystemVendor, fn.subsystemDevice),
    revision: fn.revision,
    ...(group.length > 0 && { group }),
  };
}

/**
 * Checks that a function's hardware matches a pin.
 *
 * @param fn The function.
 * @param pin The pin.
 * @param at Its place in the state, for errors: `functions[0].pin`.
 * @throws {VfioError} `IDENTITY_CHANGED` when it does not match.
 */
export function assertPinned(fn: PciFunction, pin: Pin, at: string): void {
  const found = pinOf(fn);
  const differences = (["id", "subsystem", "revision", "group"] as const)
    .filter((key) => pin[key] !== undefined)
    .map((key) => ({ key, wanted: text(pin[key]), is: text(found[key]) }))
    .filter(({ wanted, is }) => wanted !== is)
    .map(({ key, wanted, is }) => `${key}: expected ${wanted}, found ${is}`);
  if (differences.length === 0) return;
  throw new VfioError("IDENTITY_CHANGED", {
    device: fn.address,
    problem: `it is not what ${at} says: ${differences.join("; ")}`,
    hint: "look at what is there now: if it is the right card, correct the " +
      "pin, otherwise correct the selector",
  });
}

/** Vendor and device of a function: `"8086:10d3"`. */
export function namedId(fn: PciFunction): string {
  return idPair(fn.vendor, fn.device);
}

function groupOf(fn: PciFunction): string[] {
  return (fn.iommuGroup?.devices ?? [])
    .filter((device) => device instanceof PciFunction)
    .filter((each) =>
      each.address === fn.address || each.physicalFunction === undefined
    )
    .map((each) => namedId(each))
    .sort();
}

function text(value: string | number | readonly string[] | undefined): string {
  if (value === undefined) return "none";
  return typeof value === "object"
    ? value.map((id) => id.toLowerCase()).sort().join(" ")
    : String(value).toLowerCase();
}
