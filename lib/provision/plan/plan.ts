/**
 * Plans the steps from a host as it is to a desired state.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { madeBy } from "../../host/pci/topology/made_domain.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { virtualAddresses } from "../../host/pci/virtual/addresses.ts";
import { parseState } from "../state/parse.ts";
import { assertPinned } from "../state/pin.ts";
import { moves, powerSteps, resetSteps } from "./attributes.ts";
import { assertDrivers, companions, driverSteps } from "./drivers.ts";
import { handoffSteps } from "./handoff.ts";
import { mediatedSteps } from "./mediated.ts";
import { hugePageSteps, memoryLimitSteps } from "./memory.ts";
import { interruptSteps, isolationSteps } from "./isolation.ts";
import { moduleSteps } from "./modules.ts";
import { networkSteps } from "./network.ts";
import { nodeSteps } from "./nodes.ts";
import { romSteps } from "./rom.ts";
import { planText } from "./text.ts";
import { planVirtual } from "./virtual.ts";
import { commandLineSteps } from "../settings/loader.ts";
import { moduleOptionSteps } from "../settings/module_options.ts";
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

/** The steps to a desired state, with reasons. Made by {@linkcode plan}. */
export class Plan {
  /** The steps, in order; none when there is nothing to do. */
  readonly steps: readonly Step[];

  /**
   * Makes a plan of these steps.
   *
   * @param steps The steps, in order.
   */
  constructor(steps: readonly Step[]) {
    this.steps = steps;
  }

  /** Writes a line for each step, and a summary, for people. */
  toString(): string {
    return planText(this.steps);
  }

  /** Returns what `JSON.stringify` writes, for programs. */
  toJSON(): PlanJson {
    return { version: 1, steps: this.steps };
  }
}

/**
 * Plans the steps that bring a host to a desired state, in an order that works.
 * What is as it should be needs no step. Nothing is changed.
 *
 * First all selectors and pins are checked. The order of the steps is then:
 * modules, their options and the kernel's command line, copies of ROMs, reset methods, virtual functions with their MAC addresses and
 * VLANs, drivers, sleep, nodes, mediated devices, huge pages, files, processors,
 * and what hands devices over. A change of driver of a physical function comes before its virtual functions,
 * since its driver makes them.
 *
 * A state that the host cannot reach is refused, as far as that can be known
 * beforehand. Then nothing is planned.
 *
 * @param host The host.
 * @param state The desired state.
 * @throws {TypeError} When the state is invalid, or contradicts itself.
 * @throws {VfioError} When the host cannot reach the state: `DEVICE_NOT_FOUND`,
 * `AMBIGUOUS`, `IDENTITY_CHANGED`, `DRIVER_FAILED`, `NO_IOMMU_GROUP`,
 * `GROUP_NOT_VIABLE`, `NOT_SUPPORTED`, `WRONG_DRIVER`, or `PERMISSION_DENIED`
 * when only root can read what decides it.
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
  const {
    functions = [],
    modules = [],
    commandLine = [],
    moduleOptions = {},
    isolation,
    mediated = [],
    hugePages = [],
    memoryLimit = {},
    handoff = [],
  } = parseState(state);
  const loading = moduleSteps(host, modules);
  const entries = resolve(host, functions);
  for (const { fn, at, state: { pin } } of entries) {
    if (pin !== undefined) assertPinned(fn, pin, `${at}.pin`);
  }
  const virtual = entries.map((entry) => ({
    entry,
    ...planVirtual(entry),
  }));
  const namedTargets = entries.map(({ at, fn, state }) => ({
    at,
    address: fn.address,
    fn,
    state,
  }));
  const goneAddresses = new Set([
    ...virtual.filter(({ remove }) => remove.length > 0)
      .flatMap(({ entry }) => entry.fn.virtualFunctions)
      .map(({ address }) => address),
    ...namedTargets.filter((target) => moves(target)).flatMap(({ fn }) =>
      madeBy(fn)
    ),
  ]);
  const madeTargets = virtual.flatMap(({ targets }) => targets);
  const groupTargets = companions(
    entries,
    [...namedTargets, ...madeTargets],
    goneAddresses,
  );
  assertMakersStay(entries, groupTargets);
  // A function of which the state says, for example, only the sleep gets its
  // driver by its group.
  const targets = [...namedTargets, ...madeTargets].map((target) => {
    const driver = groupTargets.get(target.address)?.state.driver;
    return driver === undefined
      ? target
      : { ...target, state: { ...target.state, driver } };
  });
  const allTargets = [
    ...targets,
    ...[...groupTargets.values()].filter(({ address }) =>
      targets.every((target) => target.address !== address)
    ),
  ];
  assertDrivers(allTargets, physicalOf(virtual), goneAddresses, loading);
  const makers = targets.filter((_, i) => virtual[i]?.make.length);
  const presentTargets = targets.filter(({ fn }) => fn !== undefined);
  const absentTargets = targets.filter(({ fn }) => fn === undefined);
  const moving = new Set(
    allTargets.filter((target) => moves(target)).map(({ address }) => address),
  );
  const interrupts = interruptSteps(entries, moving);
  return new Plan([
    ...loading,
    ...moduleOptionSteps(host, moduleOptions),
    ...commandLineSteps(host.kernel, commandLine),
    ...romSteps(entries),
    ...resetSteps(presentTargets),
    ...virtual.flatMap(({ remove }) => remove),
    ...driverSteps(makers),
    ...virtual.flatMap(({ make }) => make),
    ...resetSteps(absentTargets),
    ...networkSteps(madeTargets),
    ...driverSteps(allTargets.filter((target) => !makers.includes(target))),
    ...powerSteps(targets),
    ...nodeSteps(host, targets),
    ...mediatedSteps(host, mediated, moving),
    ...hugePageSteps(host, hugePages),
    ...memoryLimitSteps(host, memoryLimit),
    ...isolationSteps(host, isolation),
    ...interrupts,
    ...handoffSteps(host, handoff, {
      targets: allTargets,
      mediated,
      gone: goneAddresses,
    }),
  ]);
}

/**
 * Finds the functions of the entries. A function may be named only once, and a
 * virtual function not beside the entry that makes it.
 */
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
    throw owner === undefined ? error : namedTwice(at, address!, owner);
  }
  const named = new Map<string, Entry>();
  for (const entry of entries) {
    const { at, fn: { address } } = entry;
    const earlier = named.get(address);
    if (earlier !== undefined) {
      throw new TypeError(`${earlier.at} and ${at} are both ${address}`);
    }
    named.set(address, entry);
  }
  for (const { at, fn } of entries) {
    const owner = named.get(fn.physicalFunction?.address ?? "");
    if (owner?.state.virtualFunctions !== undefined) {
      throw namedTwice(at, fn.address, owner);
    }
  }
  return entries;
}

function namedTwice(at: string, address: string, owner: Entry): TypeError {
  return new TypeError(
    `${at} is ${address}, a virtual function that ${owner.at} makes: ` +
      `expected it in ${owner.at}.virtualFunctions.overrides`,
  );
}

/**
 * Refuses to give a function that makes virtual functions to a VFIO driver
 * because of its group.
 */
function assertMakersStay(
  entries: readonly Entry[],
  groupTargets: ReadonlyMap<string, Target>,
): void {
  for (const { at, fn, state: { virtualFunctions } } of entries) {
    const companion = groupTargets.get(fn.address);
    if (companion === undefined || !virtualFunctions?.count) continue;
    throw new TypeError(
      `${companion.at} gives the whole group of ${fn.address} to ` +
        `${companion.state.driver}, and ${at} makes virtual ` +
        `functions: expected its driver in ${at}.driver`,
    );
  }
}

/** The physical functions, by the addresses of their virtual functions. */
function physicalOf(
  virtual: readonly { entry: Entry; targets: readonly Target[] }[],
): Map<string, PciFunction> {
  return new Map(
    virtual.flatMap(({ entry, targets }) =>
      targets.map(({ address }) => [address, entry.fn] as const)
    ),
  );
}
