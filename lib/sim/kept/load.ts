/**
 * Makes a machine what processes have made of it before.
 *
 * @module
 */

import { KernelError } from "../../kernel/errno.ts";
import type { Group } from "../driver/bus.ts";
import { makeDriver } from "../driver/drivers.ts";
import type { Machine } from "../machine/machine.ts";
import { VirtualFunction } from "../pci/sriov.ts";
import type { SimKernel } from "../process/kernel.ts";
import { putOnDisk } from "./files.ts";
import type { Kept, VfioNumbers } from "./kept.ts";

/**
 * Has the numbers of a VFIO device given out next, before its driver is bound.
 *
 * @param machine The machine.
 * @param group The device's group, if the IOMMU has made it.
 * @param numbers Its numbers. Default: the lowest free ones.
 */
export function expectNumbers(
  machine: Machine,
  group?: Group,
  numbers?: VfioNumbers,
): void {
  machine.vfioNumbers.expect(numbers?.number);
  machine.groupMinors.expect(group?.node ? undefined : numbers?.minor);
  machine.groupNumbers.expect(group ? undefined : numbers?.group);
}

/**
 * Has the modules that were loaded, with their drivers.
 *
 * @param machine The machine, before its devices are bound.
 * @param modules The modules.
 */
export function restoreModules(
  { modules, drivers }: Machine,
  kept: NonNullable<Kept["modules"]>,
): void {
  for (const [name, { users, driver }] of Object.entries(kept)) {
    const key = driver === undefined ? {} : { driver: `pci/${driver}` };
    modules.set(name, { name, users: new Set(users), ...key });
    if (driver !== undefined) {
      drivers.set(`pci/${driver}`, makeDriver("pci", driver));
    }
  }
}

/**
 * Restores what processes have changed.
 *
 * @param machine The machine, otherwise complete.
 * @param init A process of root's.
 * @param kept What they have changed.
 * @throws {TypeError} When the machine refuses it. The message says where.
 */
export function restoreKept(
  machine: Machine,
  init: SimKernel,
  kept: Kept,
): void {
  const { virtualNetworks = {}, attributes = {}, disk = {}, nodes = {} } = kept;
  for (const [address, { mac, vlan, qos }] of Object.entries(virtualNetworks)) {
    inPlace("virtualNetworks", address, () => {
      const fn = machine.devices.on("pci").get(address);
      if (!(fn instanceof VirtualFunction)) {
        throw new TypeError("there is no such virtual function");
      }
      Object.assign(fn.settings, {
        address: Uint8Array.fromHex(mac),
        vlan,
        qos,
      });
    });
  }
  for (const [path, text] of Object.entries(attributes)) {
    inPlace("attributes", path, () => init.writeFile(path, text));
  }
  for (const [path, entry] of Object.entries(disk)) {
    inPlace("disk", path, () => {
      const access = putOnDisk(init, path, entry);
      if (access !== undefined) machine.setOwnership(path, access);
    });
  }
  for (const [path, access] of Object.entries(nodes)) {
    inPlace("nodes", path, () => machine.setOwnership(path, access));
  }
  if (kept.nextPid !== undefined) machine.nextPid = kept.nextPid;
}

/** Says in an error which part of a topology it is about. */
function inPlace(part: keyof Kept, key: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    const isRefusal = error instanceof KernelError ||
      error instanceof TypeError || error instanceof SyntaxError;
    if (!isRefusal) throw error;
    throw new TypeError(
      `kept.${part}[${JSON.stringify(key)}]: ${error.message}`,
      { cause: error },
    );
  }
}
