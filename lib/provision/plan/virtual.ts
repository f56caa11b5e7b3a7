/**
 * Plans virtual functions (`drivers/pci/iov.c`).
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { dirname } from "../../host/path.ts";
import { PciFunction } from "../../host/pci/function.ts";
import { numberAt } from "../../host/pci/virtual/addresses.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { isOnNetwork } from "./network.ts";
import type {
  VirtualFunctionsState,
  VirtualFunctionState,
} from "../state/state.ts";
import type { Step } from "../steps/step.ts";
import { directoryOf, type Entry, type Target } from "./target.ts";
import {
  addressesOf,
  assertMaker,
  assertPossible,
  assertRoom,
  driverAfter,
} from "./virtual_possible.ts";

/** The steps that give a function its virtual functions. */
export interface VirtualPlan {
  /** The steps that remove the present virtual functions, if they must go. */
  readonly remove: readonly Step[];
  /** The steps that make the wanted virtual functions. */
  readonly make: readonly Step[];
  /** The virtual functions afterwards, if the state says something of them. */
  readonly targets: readonly Target[];
}

/**
 * Plans the virtual functions of an entry.
 *
 * @param entry The entry.
 * @throws {TypeError} When it has an override for a virtual function beyond its
 * count.
 * @throws {VfioError} When they cannot be made.
 */
export function planVirtual({ fn, at, state }: Entry): VirtualPlan {
  const wanted = state.virtualFunctions;
  const present = fn.virtualFunctions.length;
  const moves = state.driver !== undefined &&
    state.driver !== (fn.driver ?? null);
  if (wanted === undefined) return { remove: [], make: [], targets: [] };
  const { count } = wanted;
  const virtualAt = `${at}.virtualFunctions`;
  const maker = driverAfter(fn, state.driver);
  assertPossible(fn, count, maker);
  assertNumbers(wanted, virtualAt);
  const stays = count === present && !moves;
  if (count > 0 && !stays) {
    assertMaker(fn, maker);
    assertRoom(fn, count);
  }
  const why = moves
    ? "the driver that made them is unbound"
    : count === 0
    ? "there should be none"
    : `their number changes from ${present} to ${count} only through 0`;
  return {
    remove: present === 0 || stays ? [] : [{
      kind: "virtual functions",
      device: fn.address,
      count: 0,
      why: `${why}; ${removedText(fn)}`,
    }],
    make: count === 0 || stays ? [] : makeSteps(fn, wanted),
    targets: targetsOf(fn, state.driver, wanted, virtualAt, stays),
  };
}

/** Which virtual functions go, with the drivers that have them. */
function removedText({ virtualFunctions }: PciFunction): string {
  const names = virtualFunctions.map(({ address, driver }) =>
    driver === undefined ? address : `${address} (${driver})`
  );
  const most = 4;
  const listed = names.length <= most
    ? names
    : [...names.slice(0, most - 1), `and ${names.length - most + 1} more`];
  return `it removes ${listed.join(", ")}`;
}

/**
 * The state of one virtual function: that of all of them, with its override.
 */
function stateOf(
  { driver, reset, idleD3, node, vlan, overrides }: VirtualFunctionsState,
  index: number,
): VirtualFunctionState {
  const override = overrides?.[String(index)];
  // An override with another driver has no VFIO nodes, so that the state of all
  // nodes does not apply to it.
  const nodeless = override?.driver === null ||
    override?.driver !== undefined && !isVfioDriver(override.driver);
  return {
    ...(driver !== undefined && { driver }),
    ...(reset !== undefined && { reset }),
    ...(idleD3 !== undefined && { idleD3 }),
    ...(node !== undefined && !nodeless && { node }),
    ...(vlan !== undefined && { vlan }),
    ...override,
  };
}

function targetsOf(
  fn: PciFunction,
  driver: string | null | undefined,
  wanted: VirtualFunctionsState,
  at: string,
  stay: boolean,
): Target[] {
  const states = Array.from(
    { length: wanted.count },
    (_, i) => stateOf(wanted, i),
  );
  if (states.every((state) => Object.keys(state).length === 0)) return [];
  const untouched = !stay && !autoprobeWanted(wanted);
  const addresses = stay ? [] : addressesOf(fn, wanted.count);
  return states.map((state, i) => {
    const presentFunction = stay ? virtualFunction(fn, i) : undefined;
    return {
      at,
      address: presentFunction?.address ?? addresses[i]!,
      fn: presentFunction,
      description: `virtual function ${i} of ${fn.address}`,
      state,
      part: { physical: fn, driver, index: i },
      untouched,
    };
  });
}

function virtualFunction(fn: PciFunction, index: number): PciFunction {
  const path = `${fn.path}/virtfn${index}`;
  const target = ifPresent(() => fn.host.kernel.readlink(path));
  const device = target === undefined
    ? undefined
    : fn.host.deviceAt(`${dirname(fn.path)}/${target.split("/").at(-1)}`);
  if (device instanceof PciFunction) return device;
  throw new VfioError("DEVICE_NOT_FOUND", {
    device: fn.address,
    problem: `its virtual function ${index} is not there`,
    hint: "they are being removed or created: try again",
  });
}

function makeSteps(fn: PciFunction, wanted: VirtualFunctionsState): Step[] {
  const { address } = fn;
  const { count } = wanted;
  const steps: Step[] = [];
  if (!autoprobeWanted(wanted) && numberAt(fn, "sriov_drivers_autoprobe")) {
    steps.push({
      kind: "attribute",
      device: address,
      path: `${directoryOf(address)}/sriov_drivers_autoprobe`,
      value: "0",
      why: "the host's drivers must not bind its virtual functions first",
    });
  }
  const probed = numberAt(fn, "sriov_drivers_autoprobe") !== 0;
  if (!probed && autoprobeWanted(wanted) && hostDriverWanted(wanted)) {
    steps.push({
      kind: "attribute",
      device: address,
      path: `${directoryOf(address)}/sriov_drivers_autoprobe`,
      value: "1",
      why: "somebody has kept the host's drivers from its virtual functions",
    });
  }
  steps.push({
    kind: "virtual functions",
    device: address,
    count,
    why: (fn.virtualFunctions.length === 0
      ? "it has none"
      : "they are made again") +
      (!probed && wanted.driver === undefined
        ? "; no driver binds them, as sriov_drivers_autoprobe is 0"
        : ""),
  });
  return steps;
}

/** Whether a virtual function is to have a driver of the host's. */
function hostDriverWanted(wanted: VirtualFunctionsState): boolean {
  return Array.from({ length: wanted.count }, (_, i) => stateOf(wanted, i))
    .some(({ driver }) => typeof driver === "string" && !isVfioDriver(driver));
}

/**
 * Whether the host's drivers may probe the virtual functions at once: where the
 * state does not say every driver, or where all get a driver of the host's and
 * nothing has to be set before.
 */
function autoprobeWanted(wanted: VirtualFunctionsState): boolean {
  const states = Array.from(
    { length: wanted.count },
    (_, i) => stateOf(wanted, i),
  );
  const drivers = states.map(({ driver }) => driver);
  return drivers.includes(undefined) ||
    !states.some(isOnNetwork) &&
      drivers.every((driver) => driver !== null && !isVfioDriver(driver!));
}

function assertNumbers(
  { count, overrides = {} }: VirtualFunctionsState,
  at: string,
): void {
  for (const index of Object.keys(overrides)) {
    if (Number(index) < count) continue;
    throw new TypeError(
      `${at}.overrides: expected numbers below the count of ${count}, ` +
        `got ${index}`,
    );
  }
}
