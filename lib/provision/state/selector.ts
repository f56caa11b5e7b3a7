/**
 * Finds the function that a selector selects.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import {
  behind,
  bridgePath,
  functionsBehind,
  isIn,
  serialNumber,
  slots,
} from "../../host/pci/identity.ts";
import type { Host } from "../../host/host.ts";
import { dirname } from "../../host/path.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { namedId } from "./pin.ts";
import type {
  IdSelector,
  PathSelector,
  Selector,
  SlotSelector,
} from "./state.ts";

/**
 * Finds the one function that a selector selects.
 *
 * @param host The host.
 * @param selector The selector, as {@linkcode parseState} accepts it.
 * @param at Its place in the state, for errors: `functions[0].select`.
 * @throws {VfioError} `DEVICE_NOT_FOUND` when there is none, or `AMBIGUOUS`
 * when there are several: the message lists them with their differences.
 * `PERMISSION_DENIED` when only root can read what decides it.
 */
export function select(
  host: Host,
  selector: Selector,
  at: string,
): PciFunction {
  if (typeof selector === "string") return host.function(selector);
  if ("address" in selector) return host.function(selector.address);
  if ("path" in selector) return byPath(host, selector, at);
  return "slot" in selector
    ? bySlot(host, selector, at)
    : byId(host, selector, at);
}

function byPath(
  host: Host,
  { path }: PathSelector,
  at: string,
): PciFunction {
  const [first = "", ...hops] = path.toLowerCase().split("/");
  const start = host.function(first);
  if (!/\/pci[0-9a-f]{4,8}:[0-9a-f]{2}$/.test(dirname(start.path))) {
    throw new VfioError("DEVICE_NOT_FOUND", {
      device: start.address,
      problem: `it is not on a root bus, as the first part of ${at} has to be`,
      hint: `its own path is ${bridgePath(start)}`,
    });
  }
  const found = behind(start, hops);
  if (found !== undefined) return found;
  let last = start;
  let remainingHops = hops;
  for (const hop of hops) {
    const next = behind(last, [hop]);
    if (next === undefined) break;
    last = next;
    remainingHops = remainingHops.slice(1);
  }
  const childPaths = functionsBehind(last).map((fn) => bridgePath(fn));
  throw new VfioError("DEVICE_NOT_FOUND", {
    device: last.address,
    problem: `there is no function ${remainingHops[0]} behind it (${at})`,
    hint: childPaths.length === 0
      ? "there is nothing behind it: is the card in its slot, and switched on?"
      : `behind it are ${childPaths.join(", ")}`,
  });
}

function bySlot(
  host: Host,
  { slot: name, function: number }: SlotSelector,
  at: string,
): PciFunction {
  const knownSlots = slots(host);
  const named = knownSlots.filter((slot) => slot.name === name);
  if (named.length === 0) {
    throw new VfioError("DEVICE_NOT_FOUND", {
      problem: `there is no slot named ${name} (${at})`,
      hint: knownSlots.length === 0
        ? "the kernel names no slots of this machine: select by path"
        : `there are the slots ${
          knownSlots.map(({ name }) => name).join(", ")
        }`,
    });
  }
  const slotFunctions = host.functions().filter((fn) =>
    named.some((slot) => isIn(slot, fn))
  );
  const matching = slotFunctions.filter(({ address }) =>
    number === undefined || address.endsWith(`.${number}`)
  );
  return assertOnlyOne(matching, {
    criterion: `slot ${name}${
      number === undefined ? "" : ` function ${number}`
    }`,
    at,
    hint: 'select one by its number: "function"',
    none: slotFunctions.length === 0
      ? "the slot is empty"
      : listOf(slotFunctions),
  });
}

function byId(
  host: Host,
  { id, serial }: IdSelector,
  at: string,
): PciFunction {
  const sameId = host.functions().filter((fn) =>
    namedId(fn) === id.toLowerCase()
  );
  if (serial === undefined) {
    return assertOnlyOne(sameId, {
      criterion: `id ${id}`,
      at,
      hint: "select one by serial number, path, slot or address",
      none: "lspci -Dnn lists what there is",
    });
  }
  const serials = new Map(sameId.map((fn) => [fn, serialNumber(fn)]));
  if ([...serials.values()].includes("unreadable")) {
    throw new VfioError("PERMISSION_DENIED", {
      device: sameId[0]?.address,
      problem: `only root can read the serial number in ${at}`,
      hint: "run as root, or select by path, slot or address",
    });
  }
  const matching = sameId.filter((fn) =>
    serials.get(fn) === serial.toLowerCase()
  );
  return assertOnlyOne(matching, {
    criterion: `id ${id} and serial number ${serial}`,
    at,
    hint: "functions of one card share its serial number: " +
      "select one by path, slot or address",
    none: sameId.length === 0
      ? "lspci -Dnn lists what there is"
      : listOf(sameId),
  });
}

/** The parts of a search that errors name. */
interface Search {
  readonly criterion: string;
  readonly at: string;
  readonly hint: string;
  readonly none: string;
}

function assertOnlyOne(
  matching: readonly PciFunction[],
  { criterion, at, hint, none }: Search,
): PciFunction {
  const [found, ...more] = matching;
  if (found === undefined) {
    throw new VfioError("DEVICE_NOT_FOUND", {
      problem: `there is no function with ${criterion} (${at})`,
      hint: none,
    });
  }
  if (more.length === 0) return found;
  throw new VfioError("AMBIGUOUS", {
    problem: `${matching.length} functions have ${criterion} (${at}):` +
      listOf(matching),
    hint,
  });
}

/** Lists functions, a line each, with their differences. */
function listOf(functions: readonly PciFunction[]): string {
  const [first] = functions;
  const knownSlots = first === undefined ? [] : slots(first.host);
  return functions.map((fn) => {
    const path = bridgePath(fn);
    const physical = fn.physicalFunction;
    const slot = knownSlots.find((slot) => isIn(slot, fn));
    const serial = serialNumber(fn);
    return `\n  ${fn.address}  ` + [
      ...(path === undefined ? [] : [`path ${path}`]),
      ...(physical === undefined
        ? []
        : [`virtual function of ${physical.address}`]),
      ...(slot === undefined ? [] : [`slot ${slot.name}`]),
      ...(/^(none|unreadable)$/.test(serial) ? [] : [`serial ${serial}`]),
      `driver ${fn.driver ?? "none"}`,
    ].join(", ");
  }).join("");
}
