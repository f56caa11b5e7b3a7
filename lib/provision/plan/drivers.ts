/**
 * Plans changes of drivers, and checks that the IOMMU groups are viable
 * afterwards.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice, IommuGroup } from "../../host/device.ts";
import { insteadOfMade, makerOf } from "../../host/pci/topology/made_domain.ts";
import { Going } from "../../host/guards/consequences.ts";
import { HostUse } from "../../host/guards/uses.ts";
import { isEndpoint, type PciFunction } from "../../host/pci/function.ts";
import { explainDenied } from "../../host/driver/denylist.ts";
import { hasIsolatingPort } from "../../host/pci/topology/isolating.ts";
import { groupOfVirtual } from "../../host/pci/virtual/functions.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { assertBindable } from "../../host/driver/bindable.ts";
import {
  isBridgeClass,
  isVfioDriver,
  standsInTheWay,
} from "../../host/driver/vfio_driver.ts";
import { kernelName } from "../steps/kinds/module.ts";
import type { DriverStep, ModuleStep } from "../steps/step.ts";
import { counted } from "../../text.ts";
import { type Entry, reasonFor, type Target } from "./target.ts";

/**
 * Finds the other endpoints of groups that go to user space with
 * `"all endpoints"`, by address, each with the driver that it gets.
 *
 * @param entries What the state says of functions.
 * @param targets All functions whose driver the state gives.
 * @param gone The addresses of functions that will be removed.
 * @throws {TypeError} When two entries give the same group to different
 * drivers.
 */
export function companions(
  entries: readonly Entry[],
  targets: readonly Target[],
  gone: ReadonlySet<string>,
): Map<string, Target> {
  const withDriver = new Set(
    targets.filter(({ state }) => state.driver !== undefined)
      .map(({ address }) => address),
  );
  const found = new Map<string, Target & { readonly driver: string }>();
  for (const { at, fn, state: { group, driver } } of entries) {
    if (group !== "all endpoints" || typeof driver !== "string") continue;
    for (const member of endpointsOf(fn.iommuGroup)) {
      const { address, driver: now } = member;
      if (withDriver.has(address) || gone.has(address)) continue;
      const earlier = found.get(address);
      if (earlier !== undefined && earlier.driver !== driver) {
        throw new TypeError(
          `${earlier.at} and ${at} are one IOMMU group and give ${address} ` +
            `to ${earlier.driver} and ${driver}: give its driver in an entry ` +
            "of its own",
        );
      }
      // A function on a VFIO driver or pci-stub was bound to it on purpose.
      if (now !== undefined && !standsInTheWay(member)) continue;
      // What VFIO refuses must only be out of the way.
      const denied = explainDenied(
        member.host.kernel,
        driver,
        member.vendor,
        member.device,
      );
      if (denied !== undefined && now === undefined) continue;
      found.set(address, {
        at,
        address,
        fn: member,
        description: `in the group of ${fn.address}`,
        state: { driver: denied === undefined ? driver : null },
        driver,
      });
    }
  }
  return found;
}

/** Plans the changes of drivers. */
export function driverSteps(targets: readonly Target[]): DriverStep[] {
  const going = new Going();
  return targets.flatMap((target) => {
    const { fn, address, state: { driver }, untouched = false } = target;
    if (driver === undefined) return [];
    if (fn === undefined && driver === null && untouched) return [];
    const now = fn?.driver;
    if (fn !== undefined && (now ?? null) === driver) return [];
    const why = fn !== undefined
      ? now === undefined
        ? "no driver has it"
        : `${now} has it${goesText(going.with(fn))}`
      : untouched
      ? "no driver has it"
      : "any driver may bind it first";
    return [{
      kind: "driver",
      device: address,
      driver,
      why: reasonFor(target, why),
    }];
  });
}

function goesText(names: readonly string[]): string {
  return names.length === 0
    ? ""
    : `, and with it ${names.length === 1 ? "goes" : "go"} ${names.join(", ")}`;
}

/**
 * Checks that each function can be bound to its driver, and that each group
 * that goes to user space is viable afterwards.
 *
 * @param targets All functions whose driver the state gives, companions too.
 * @param physical The physical functions of virtual functions that do not exist
 * yet, by the addresses of these.
 * @param gone The addresses of functions that will be removed.
 * @param loading The modules that are loaded first, and their drivers with them.
 * @throws {VfioError} `DRIVER_FAILED`, `NO_IOMMU_GROUP` or `GROUP_NOT_VIABLE`.
 */
export function assertDrivers(
  targets: readonly Target[],
  physical: ReadonlyMap<string, PciFunction>,
  gone: ReadonlySet<string>,
  loading: readonly ModuleStep[] = [],
): void {
  const modules = new Set(loading.map(({ name }) => kernelName(name)));
  const after = new Map(
    targets.filter(({ state }) => state.driver !== undefined)
      .map(({ address, state }) => [address, state.driver ?? undefined]),
  );
  for (const target of targets) {
    const { fn, state: { driver } } = target;
    if (driver === undefined) continue;
    const checkedFn = fn ?? physical.get(target.address)!;
    if (driver !== (fn?.driver ?? null)) {
      const comes = driver !== null && modules.has(kernelName(driver));
      assertBindableTo(checkedFn, driver, comes);
      if (fn !== undefined) assertMovable(fn, target.at, gone);
    }
    if (driver === null || !isVfioDriver(driver)) continue;
    if (fn !== undefined) assertViable(fn, target, after, gone);
    else {
      assertVirtualAccepted(checkedFn, driver);
      assertVirtualViable(checkedFn, target, after, gone);
    }
  }
}

function assertBindableTo(
  fn: PciFunction,
  driver: string | null,
  comes: boolean,
): void {
  if (driver !== null && !comes) assertBindable(fn, driver);
  // A driver other than pcieport can keep a group from being viable.
  if (!isBridgeClass(fn.class) || driver === null && standsInTheWay(fn)) return;
  throw new VfioError("DRIVER_FAILED", {
    device: fn.address,
    problem: "it is a bridge, and what is behind it needs its driver",
    hint: "configure the functions behind it instead",
  });
}

/**
 * Refuses to unbind a driver from a function with virtual functions: most
 * drivers remove them when they are unbound.
 */
function assertMovable(
  fn: PciFunction,
  at: string,
  gone: ReadonlySet<string>,
): void {
  const { length } = fn.virtualFunctions.filter(({ address }) =>
    !gone.has(address)
  );
  if (length === 0) return;
  throw new VfioError("DRIVER_FAILED", {
    device: fn.address,
    problem: `it has ${counted(length, "virtual function")}, which its ` +
      `driver would remove (${at})`,
    hint: "give their number: " +
      '"virtualFunctions": { "count": 0 }',
  });
}

function assertViable(
  fn: PciFunction,
  { at, state }: Target,
  after: ReadonlyMap<string, string | undefined>,
  gone: ReadonlySet<string>,
): void {
  const group = fn.iommuGroup;
  const maker = makerOf(fn);
  if (maker !== undefined && maker.iommuGroup?.id === group?.id) {
    throw new VfioError("GROUP_NOT_VIABLE", {
      device: fn.address,
      problem: `its IOMMU group ${group?.id} is that of ${maker.name}, whose ` +
        `driver ${maker.driver} makes the domain that it is in`,
      hint: insteadOfMade(maker),
    });
  }
  const obstacles = obstaclesIn(group, after, gone);
  if (group === undefined || obstacles.length === 0) return;
  const endpoints = obstacles.filter((each) => isEndpoint(each));
  const others = obstacles.filter((each) => !isEndpoint(each));
  throw new VfioError("GROUP_NOT_VIABLE", {
    device: fn.address,
    problem: `its IOMMU group ${group.id} would not be viable with ` +
      named(obstacles, after),
    hint: obstacles.some((each) => after.has(each.name))
      ? "the state itself gives that driver: give another, or null"
      : [
        ...others.map((each) => withoutDriver(each)),
        ...endpoints.length > 0
          ? [
            `to give ${others.length > 0 ? "the others" : "them"} to ` +
            `${state.driver} too: "group": "all endpoints" in ${at}` +
            insistOn([fn, ...endpoints.filter(isEndpoint)]),
          ]
          : [],
      ].join("; "),
  });
}

/** The options that insist on what the host uses of functions. */
function insistOn(functions: readonly PciFunction[]): string {
  const now = new HostUse(functions[0]!.host);
  const used = functions.filter((fn) =>
    !isVfioDriver(fn.driver ?? "") && now.of(fn).length > 0
  );
  return used.length === 0
    ? ""
    : `, with ${used.map(({ address }) => `--insist ${address}`).join(" ")}, ` +
      "once the host can do without";
}

/** What leaves a device without a driver, which then is in nobody's way. */
function withoutDriver(device: HostDevice): string {
  const { name, bus, driver } = device;
  return bus === "pci"
    ? `to leave ${name} without a driver: { "select": "${name}", ` +
      '"driver": null }'
    : `unbind ${name}: echo ${name} > ` +
      `/sys/bus/${bus}/drivers/${driver}/unbind`;
}

function obstaclesIn(
  group: IommuGroup | undefined,
  after: ReadonlyMap<string, string | undefined>,
  gone: ReadonlySet<string>,
): HostDevice[] {
  return (group?.devices ?? []).filter((member) =>
    !gone.has(member.name) && wouldStandInTheWay(member, after)
  );
}

function named(
  obstacles: readonly HostDevice[],
  after: ReadonlyMap<string, string | undefined>,
): string {
  return obstacles.map((each) => `${each.name} on ${driverAfter(each, after)}`)
    .join(" and ");
}

/** Refuses a driver that refuses the identity of virtual functions. */
function assertVirtualAccepted(fn: PciFunction, driver: string): void {
  const { host: { kernel }, path, vendor } = fn;
  const device = ifPresent(() => kernel.readFile(`${path}/sriov_vf_device`));
  if (device === undefined) return;
  const denied = explainDenied(kernel, driver, vendor, parseInt(device, 16));
  if (denied === undefined) return;
  throw new VfioError("DRIVER_FAILED", { device: fn.address, ...denied });
}

/** Refuses virtual functions whose group will not be viable. */
function assertVirtualViable(
  fn: PciFunction,
  { at }: Target,
  after: ReadonlyMap<string, string | undefined>,
  gone: ReadonlySet<string>,
): void {
  const virtual = groupOfVirtual(fn);
  if (virtual === undefined) return;
  const { group, bridge, reason } = virtual;
  const obstacles = obstaclesIn(group, after, gone);
  if (obstacles.length === 0) return;
  throw new VfioError("GROUP_NOT_VIABLE", {
    device: fn.address,
    problem: `its virtual functions would be in IOMMU group ${group.id}, as ` +
      `${bridge.address} ${reason}; that would not be viable with ` +
      named(obstacles, after),
    hint: obstacles.some(({ name }) => name === fn.address)
      ? "no setting changes that: hand out the function itself, without " +
        `virtual functions (${at})` +
        (hasIsolatingPort(fn.host, [fn])
          ? ", or put the card behind a bridge that isolates"
          : "")
      : obstacles.map((each) => withoutDriver(each)).join("; "),
  });
}

function wouldStandInTheWay(
  device: HostDevice,
  after: ReadonlyMap<string, string | undefined>,
): boolean {
  if (device.bus !== "pci" || !after.has(device.name)) {
    return standsInTheWay(device);
  }
  const driver = after.get(device.name);
  return standsInTheWay({ driver, bus: "pci", vfioDevice: undefined });
}

function driverAfter(
  device: HostDevice,
  after: ReadonlyMap<string, string | undefined>,
): string | undefined {
  return device.bus === "pci" && after.has(device.name)
    ? after.get(device.name)
    : device.driver;
}

function endpointsOf(group: IommuGroup | undefined): PciFunction[] {
  return (group?.devices ?? []).filter((device) => isEndpoint(device));
}
