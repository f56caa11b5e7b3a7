/**
 * From what a host should be to the steps that make it so.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { madeBy } from "../../host/pci/made_domain.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { parseState } from "../state/parse.ts";
import { assertPinned } from "../state/pin.ts";
import { moves, powerSteps, resetSteps } from "./attributes.ts";
import { assertDrivers, companions, driverSteps } from "./drivers.ts";
import { mediatedSteps } from "./mediated.ts";
import { hugePageSteps, memoryLimitSteps } from "./memory.ts";
import { networkSteps } from "./network.ts";
import { nodeSteps } from "./nodes.ts";
import { romSteps } from "./rom.ts";
import { planText } from "./text.ts";
import { planVirtual, virtualAddresses } from "./virtual.ts";
import { select } from "../state/selector.ts";
import type { DesiredState, FunctionState } from "../state/state.ts";
import type { Step } from "../steps/step.ts";
import type { Entry, Target } from "./target.ts";

/** A plan as JSON. */
export interface PlanJson {
  /** The version of this form. */
  readonly version: 1;
  /** The steps, in order. */
  readonly steps: readonly Step[];
}

/** What would be done to a host, and why. {@linkcode plan} makes it. */
export class Plan {
  /** The steps, in order; none when there is nothing to do. */
  readonly steps: readonly Step[];

  /**
   * A plan of these steps.
   *
   * @param steps The steps, in order.
   */
  constructor(steps: readonly Step[]) {
    this.steps = steps;
  }

  /** For people: a line for each step, and one that sums them up. */
  toString(): string {
    return planText(this.steps);
  }

  /** For programs: what `JSON.stringify` writes. */
  toJSON(): PlanJson {
    return { version: 1, steps: this.steps };
  }
}

/**
 * What has to be done so that a host is as it should be: only what differs from
 * how it is now, in an order in which it works. Nothing is changed.
 *
 * First all selectors and pins are looked at. Then come, each for all
 * functions: copies of ROMs, resets, virtual functions (which their function's driver makes, so
 * that its own change of driver comes before) and their MAC addresses and
 * VLANs, drivers, sleep, nodes; then mediated devices, huge pages, and files.
 *
 * What cannot be is refused here, as far as that can be known: nothing of such
 * a state is planned.
 *
 * @param host The host.
 * @param state What it should be.
 * @throws {TypeError} When the state is none, or contradicts itself.
 * @throws {VfioError} When the host cannot be like that: `DEVICE_NOT_FOUND`,
 * `AMBIGUOUS`, `IDENTITY_CHANGED`, `DRIVER_FAILED`, `NO_IOMMU_GROUP`,
 * `GROUP_NOT_VIABLE`, `NOT_SUPPORTED`, `WRONG_DRIVER`, or `PERMISSION_DENIED`
 * when only root can tell.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { plan } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const { steps } = plan(host, {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * });
 * for (const step of steps) console.log(step.kind, step.device, step.why);
 * ```
 */
export function plan(host: Host, state: DesiredState): Plan {
  const { functions = [], mediated = [], hugePages = [], memoryLimit = {} } =
    parseState(state);
  const entries = resolve(host, functions);
  for (const { fn, at, state: { pin } } of entries) {
    if (pin !== undefined) assertPinned(fn, pin, `${at}.pin`);
  }
  const virtual = entries.map((entry) => ({
    entry,
    ...planVirtual(entry),
  }));
  const own = entries.map(({ at, fn, state }) => ({
    at,
    address: fn.address,
    fn,
    state,
  }));
  const gone = new Set([
    ...virtual.filter(({ remove }) => remove.length > 0)
      .flatMap(({ entry }) => entry.fn.virtualFunctions)
      .map(({ address }) => address),
    ...own.filter((target) => moves(target)).flatMap(({ fn }) => madeBy(fn)),
  ]);
  const made = virtual.flatMap(({ targets }) => targets);
  const whole = companions(entries, [...own, ...made], gone);
  assertMakersStay(entries, whole);
  // One of which only its sleep is said, say, gets its driver by its group.
  const said = [...own, ...made].map((target) => {
    const driver = whole.get(target.address)?.state.driver;
    return driver === undefined
      ? target
      : { ...target, state: { ...target.state, driver } };
  });
  const all = [
    ...said,
    ...[...whole.values()].filter(({ address }) =>
      said.every((target) => target.address !== address)
    ),
  ];
  assertDrivers(all, physicalOf(virtual), gone);
  const makers = said.filter((_, i) => virtual[i]?.make.length);
  const there = said.filter(({ fn }) => fn !== undefined);
  const absent = said.filter(({ fn }) => fn === undefined);
  const moving = new Set(
    all.filter((target) => moves(target)).map(({ address }) => address),
  );
  return new Plan([
    ...romSteps(entries),
    ...resetSteps(there),
    ...virtual.flatMap(({ remove }) => remove),
    ...driverSteps(makers),
    ...virtual.flatMap(({ make }) => make),
    ...resetSteps(absent),
    ...networkSteps(made),
    ...driverSteps(all.filter((target) => !makers.includes(target))),
    ...powerSteps(said),
    ...nodeSteps(host, said),
    ...mediatedSteps(host, mediated, moving),
    ...hugePageSteps(host, hugePages),
    ...memoryLimitSteps(host, memoryLimit),
  ]);
}

/** Finds the functions, each once, and no virtual ones of theirs. */
function resolve(
  host: Host,
  functions: readonly FunctionState[],
): Entry[] {
  const entries: Entry[] = [];
  const missing: { at: string; error: unknown }[] = [];
  for (const [i, state] of functions.entries()) {
    const at = `functions[${i}]`;
    try {
      entries.push({
        at,
        fn: select(host, state.select, `${at}.select`),
        state,
      });
    } catch (error) {
      missing.push({ at, error });
    }
  }
  for (const { at, error } of missing) {
    const address = error instanceof VfioError &&
        error.code === "DEVICE_NOT_FOUND"
      ? error.device
      : undefined;
    const owner = entries.find(({ fn, state: { virtualFunctions } }) =>
      address !== undefined && virtualFunctions !== undefined &&
      virtualAddresses(fn, virtualFunctions.count)?.includes(address)
    );
    throw owner === undefined ? error : twice(at, address!, owner);
  }
  for (const [i, { at, fn }] of entries.entries()) {
    const earlier = entries.slice(0, i)
      .find((entry) => entry.fn.address === fn.address);
    if (earlier !== undefined) {
      throw new TypeError(`${earlier.at} and ${at} are both ${fn.address}`);
    }
    const physical = fn.physicalFunction?.address;
    const owner = entries.find((entry) =>
      entry.fn.address === physical &&
      entry.state.virtualFunctions !== undefined
    );
    if (owner !== undefined) throw twice(at, fn.address, owner);
  }
  return entries;
}

function twice(at: string, address: string, owner: Entry): TypeError {
  return new TypeError(
    `${at} is ${address}, a virtual function that ${owner.at} makes: ` +
      `expected it in ${owner.at}.virtualFunctions.overrides`,
  );
}

/** What makes virtual functions goes to no VFIO driver with its group. */
function assertMakersStay(
  entries: readonly Entry[],
  whole: ReadonlyMap<string, Target>,
): void {
  for (const { at, fn, state: { virtualFunctions } } of entries) {
    const companion = whole.get(fn.address);
    if (companion === undefined || !virtualFunctions?.count) continue;
    throw new TypeError(
      `${companion.at} gives the whole group of ${fn.address} to ` +
        `${companion.state.driver}, and ${at} has it make virtual ` +
        `functions: expected its driver in ${at}.driver`,
    );
  }
}

/** The physical functions of virtual ones, by the addresses of these. */
function physicalOf(
  virtual: readonly { entry: Entry; targets: readonly Target[] }[],
): Map<string, PciFunction> {
  return new Map(
    virtual.flatMap(({ entry, targets }) =>
      targets.map(({ address }) => [address, entry.fn] as const)
    ),
  );
}
