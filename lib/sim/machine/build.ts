/**
 * Makes a machine from a topology.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import { run } from "../process/blocking.ts";
import { makeDriver } from "../driver/drivers.ts";
import { LOADED } from "../../host/snapshot/recording.ts";
import { type Built, FunctionBuilder } from "./function_builder.ts";
import { Iommu } from "../iommu/iommu.ts";
import { expectNumbers, restoreKept, restoreModules } from "../kept/load.ts";
import { topologyOf } from "../kept/save.ts";
import { addBusDevices } from "./bus_devices.ts";
import { kindNamed, kindOfType } from "./kinds.ts";
import { type KernelFeatures, Machine, versionOf } from "./machine.ts";
import { MediatedType, type MediatedTypes } from "../driver/mediated.ts";
import { newSocket } from "../process/netlink.ts";
import { runProgram } from "../process/program.ts";
import { Refusal } from "../process/refusal.ts";
import { rootDirectory } from "../fs/root.ts";
import type { Topology } from "./topology.ts";
import { assertTopology } from "./topology_rules.ts";
import type { KernelRecording } from "../../host/snapshot/recording.ts";

/** The kinds of IOMMUs, by their names in a topology. */
const IOMMU_KINDS = { intel: "dmar", amd: "ivhd", virtio: "virtio" } as const;

/** The newest kernel that the simulation was compared with. */
const NEWEST = "7.3.4";

/**
 * Makes a machine.
 *
 * @param topology Its hardware and kernel.
 * @throws {TypeError} When such a machine is impossible: for example an invalid
 * address, or a driver that refuses its function.
 */
export function buildMachine(topology: Topology = {}): Machine {
  assertTopology(topology);
  const { version = 1, iommu = "intel" } = topology;
  if (version !== 1) {
    throw new TypeError(
      `Cannot load a recording of version ${version}: expected version 1`,
    );
  }
  const machine = new Machine(
    featuresOf(topology.kernel),
    iommu === "none" ? undefined : new Iommu(IOMMU_KINDS[iommu], topology),
  );
  machine.hugePages.nodes = 1 + Math.max(
    0,
    ...Object.values(topology.functions ?? {})
      .map(({ numaNode = 0 }) => numaNode),
  );
  for (const [size, count] of Object.entries(topology.hugePages ?? {})) {
    machine.hugePages.reserve(pageShift(size), count);
  }
  for (const { group } of Object.values(topology.devices ?? {})) {
    if (typeof group === "number") machine.groupNumbers.reserve(group);
  }
  const built = new FunctionBuilder(machine, topology).build();
  addDrivers(machine, topology, built);
  restoreModules(machine, topology.kept?.modules ?? {});
  const numbers = topology.kept?.vfio ?? {};
  for (const each of built) {
    expectNumbers(machine, each.fn.group, numbers[each.fn.name]);
    bindAtBoot(machine, each);
  }
  addBusDevices(machine, topology);
  const types = mediatedTypes(machine, topology);
  expectNumbers(machine);
  machine.run = (...wanted) => runProgram(machine, ...wanted);
  machine.socket = (...wanted) => newSocket(machine, ...wanted);
  machine.root = rootDirectory(machine, types, topology.files);
  if (topology.kept !== undefined) {
    restoreKept(machine, machine.init, topology.kept);
  }
  machine.unknown = topology.unknown ?? [];
  machine.topology = () => topologyOf(machine, types, machine.init, topology);
  return machine;
}

function featuresOf(kernel: KernelRecording = {}): KernelFeatures {
  const { release = NEWEST, commandLine = "quiet" } = kernel;
  const [major, minor] = versionOf(release);
  return {
    release,
    iommufd: kernel.iommufd ?? (major > 6 || major === 6 && minor >= 6),
    commandLine,
    translation: kernel.translation ?? translationOf(commandLine),
    noIommu: kernel.unsafeNoIommu ?? false,
    denylist: kernel.denylist ?? true,
    mappingLimit: kernel.mappingLimit ?? 65_535,
    enableSriov: false,
    unsafeInterrupts: new Set(
      ["iommufd", "vfio_iommu_type1"].filter((name) =>
        new RegExp(`(?:^|\\s)${name}\\.allow_unsafe_interrupts(?:=[1yY]|\\s|$)`)
          .test(commandLine)
      ),
    ),
  };
}

function translationOf(commandLine: string): string {
  const words = commandLine.split(/\s+/);
  if (words.includes("iommu=pt") || words.includes("iommu.passthrough=1")) {
    return "identity";
  }
  return words.includes("iommu.strict=1") ? "DMA" : "DMA-FQ";
}

/** The base-2 logarithm of a huge page's size: 21 for `"2M"`. */
function pageShift(size: string): number {
  const [, digits = "", unit = ""] = /^(\d+)([KMG])$/.exec(size) ?? [];
  const shift = Math.log2(Number(digits)) + 10 * " KMG".indexOf(unit);
  if (Number.isInteger(shift) && shift > 12) return shift;
  throw new TypeError(
    `Cannot parse huge page size ${shortJson(size)}: expected "2M"`,
  );
}

/**
 * Adds the drivers of PCI that are always loaded, named, or bound to a
 * function.
 */
function addDrivers(
  machine: Machine,
  { drivers = {}, functions = {}, kept }: Topology,
  built: readonly Built[],
): void {
  const driversInUse = new Map<string, { ids: string[]; sriov: boolean }>();
  const note = (driver: string | undefined, id: string, sriov: boolean) => {
    if (driver === undefined) return;
    const known = driversInUse.get(driver) ?? { ids: [], sriov: false };
    known.ids.push(id);
    known.sriov ||= sriov;
    driversInUse.set(driver, known);
  };
  for (const { fn, driver, topology } of built) {
    note(driver, fn.ids[0]!, topology.sriov !== undefined);
  }
  for (const { sriov } of Object.values(functions)) {
    if (sriov !== undefined) note(sriov.driver, sriov.id, false);
  }
  const named = Object.keys(drivers).filter((key) => !key.includes("/"));
  const names = [...LOADED, ...named, ...driversInUse.keys()];
  for (const name of new Set(names)) {
    const { ids, sriov } = driversInUse.get(name) ?? {};
    const topology = drivers[name] ?? {};
    if (topology === false) continue;
    // What was derived when the machine was first made is kept.
    const driver = kept === undefined
      ? makeDriver("pci", name, topology, ids, sriov)
      : makeDriver("pci", name, topology);
    machine.drivers.set(`pci/${name}`, driver);
  }
}

/** Binds a function to its driver at boot. */
function bindAtBoot(machine: Machine, { fn, driver, topology }: Built): void {
  if (driver !== undefined) {
    const found = machine.drivers.get(`pci/${driver}`);
    try {
      if (found === undefined) throw new Refusal("ENOENT");
      // Set for the check only. It is set to that of the topology afterwards.
      fn.override = driver;
      fn.assertTakable(found);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new TypeError(
        `Cannot bind ${fn.name} to ${driver}: the kernel answers ${error.code}`,
      );
    }
    fn.driver = found;
    fn.settled(found, true);
  }
  fn.override = topology.override;
  fn.power = topology.power ?? fn.power;
}

/** Makes the types of mediated devices, and their devices. */
function mediatedTypes(
  machine: Machine,
  { mediatedTypes = {}, mediated = {}, kept }: Topology,
): MediatedTypes {
  const types = new Map<string, Map<string, MediatedType>>();
  const add = (parent: string, name: string, instances: number) => {
    const path = parentPath(machine, parent);
    const { driver = name.split("-")[0]!, model } =
      mediatedTypes[parent]?.[name] ?? {};
    const key = `mdev/${driver}`;
    const found = machine.drivers.get(key) ??
      makeDriver("mdev", driver, { dma: "user" });
    machine.drivers.set(key, found);
    const kind = model === undefined ? kindOfType(name) : kindNamed(model);
    const options = { name, parent: path, driver: found, instances, kind };
    const type = new MediatedType(machine, options);
    types.set(path, (types.get(path) ?? new Map()).set(name, type));
  };
  for (const [parent, named] of Object.entries(mediatedTypes)) {
    for (const [name, { instances }] of Object.entries(named)) {
      add(parent, name, instances);
    }
  }
  for (const [uuid, { parent, type }] of Object.entries(mediated)) {
    const found = () => types.get(parentPath(machine, parent))?.get(type);
    if (found() === undefined) {
      const sameType = Object.values(mediated)
        .filter((other) => other.parent === parent && other.type === type);
      add(parent, type, sameType.length);
    }
    expectNumbers(machine, undefined, kept?.vfio?.[uuid.toLowerCase()]);
    try {
      run(found()!.create(uuid));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new TypeError(
        `Cannot make mediated device ${uuid}: the kernel answers ${error.code}`,
      );
    }
  }
  return types;
}

function parentPath(machine: Machine, parent: string): string {
  if (parent.startsWith("/sys/devices/virtual/")) return parent;
  const fn = machine.devices.on("pci").get(parent);
  if (fn !== undefined) return fn.path;
  throw new TypeError(
    `Cannot find ${parent}, which makes mediated devices: expected a ` +
      "function's address or a path below /sys/devices/virtual",
  );
}
