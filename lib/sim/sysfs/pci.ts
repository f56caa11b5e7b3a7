/**
 * Shows the directory of a PCI function (`drivers/pci/pci-sysfs.c`,
 * `drivers/base/dd.c`).
 *
 * @module
 */

import { hex, hexDigits, idPair } from "../../hex.ts";
import { run } from "../process/blocking.ts";
import { remove } from "../driver/core.ts";
import { boolean, unsigned, word } from "./input.ts";
import type { PciFunction } from "../pci/function.ts";
import { refuse } from "../process/refusal.ts";
import { resourceLines } from "../pci/resources.ts";
import { configAttribute } from "./config.ts";
import { DEVICE_TABLE } from "./device.ts";
import { OVERRIDE, POWER } from "./driver_settings.ts";
import { romAttribute } from "./rom.ts";
import { type PhysicalFunction, VirtualFunction } from "../pci/sriov.ts";
import {
  link,
  mapDirectory,
  nested,
  only,
  onlyWhere,
  readOnly,
  readWrite,
  type Table,
  writeOnly,
} from "../fs/tree.ts";

const hexadecimal = (digits: number, of: (fn: PciFunction) => number) =>
  readOnly<PciFunction>((fn) => `${hex(of(fn), digits)}\n`);

const express = (text: string) =>
  onlyWhere<PciFunction>(
    ({ identity }) => identity.express,
    readOnly(() => text),
  );

const resettable = (fn: PciFunction) => fn.supportedResets.length > 0;

/** The entries of a network interface. */
const NETWORK_TABLE: Table<PciFunction> = {
  device: link(({ path }) => path),
  subsystem: link(() => "/sys/class/net"),
  ifindex: readOnly(({ network }) => `${network?.index}\n`),
  uevent: readOnly(({ network }) =>
    `INTERFACE=${network?.name}\nIFINDEX=${network?.index}\n`
  ),
};

/** The entries of every PCI function. */
export const FUNCTION_TABLE: Table<PciFunction> = {
  ...DEVICE_TABLE,
  iommu: link(({ group, machine: { iommu } }) =>
    iommu === undefined || group?.kind !== "iommu"
      ? undefined
      : `/sys/devices/virtual/iommu/${iommu.kind}0`
  ),
  vendor: hexadecimal(4, ({ identity }) => identity.vendor),
  device: hexadecimal(4, ({ identity }) => identity.device),
  subsystem_vendor: hexadecimal(4, ({ identity }) => identity.subsystemVendor),
  subsystem_device: hexadecimal(4, ({ identity }) => identity.subsystem),
  class: hexadecimal(6, ({ identity }) => identity.class),
  revision: hexadecimal(2, ({ identity }) => identity.revision),
  modalias: readOnly((fn) => `${modalias(fn)}\n`),
  uevent: readOnly(uevent),
  config: configAttribute,
  rom: romAttribute,
  resource: readOnly(({ resources }) => resourceLines(resources)),
  numa_node: readOnly(({ numaNode }) => `${numaNode}\n`),
  driver_override: OVERRIDE,
  d3cold_allowed: readWrite(
    ({ d3cold }) => d3cold ? "1\n" : "0\n",
    (fn, text) => {
      fn.d3cold = unsigned(text) !== 0;
    },
  ),
  power: POWER,
  reset_method: onlyWhere(
    (fn) => resettable(fn) && fn.machine.since(5, 15),
    readWrite(
      ({ resets }) => resets.length === 0 ? "" : `${resets.join(" ")}\n`,
      storeResetMethod,
    ),
  ),
  reset: onlyWhere(resettable, writeOnly(storeReset)),
  max_link_speed: express("8.0 GT/s PCIe\n"),
  max_link_width: express("4\n"),
  current_link_speed: express("8.0 GT/s PCIe\n"),
  current_link_width: express("4\n"),
  secondary_bus_number: onlyWhere(
    ({ isBridge }) => isBridge,
    readOnly(secondaryBus),
  ),
  subordinate_bus_number: onlyWhere(
    ({ isBridge }) => isBridge,
    readOnly(({ lastBus = 0 }) => `${lastBus}\n`),
  ),
  ari_enabled: readOnly(({ ari }) => ari ? "1\n" : "0\n"),
  boot_vga: onlyWhere(
    ({ identity }) => identity.class >> 8 === 0x0300,
    readOnly(() => "0\n"),
  ),
  remove: onlyWhere(
    (fn) => !(fn instanceof VirtualFunction) && !fn.removed,
    writeOnly(
      (fn, text) =>
        unsigned(text) === 0 ? undefined : run(remove(fn.machine, fn)),
      0o220,
    ),
  ),
  net: onlyWhere(
    ({ network }) => network !== undefined,
    (fn, path) =>
      mapDirectory(
        path,
        () => only(fn.network?.name ?? "", fn.network && fn),
        nested(NETWORK_TABLE),
      ),
  ),
  physfn: link((fn) =>
    fn instanceof VirtualFunction && fn.physical.has(fn)
      ? fn.physical.path
      : undefined
  ),
};

/** The further entries of a physical function. */
export const PHYSICAL_TABLE: Table<PhysicalFunction> = {
  sriov_totalvfs: readOnly(({ total }) => `${total}\n`),
  sriov_numvfs: readWrite(
    ({ lock, functions }) => {
      lock.assertFree();
      return `${functions.size}\n`;
    },
    (fn, text) => run(fn.configure(unsigned(text, 0xffff))),
  ),
  sriov_offset: readOnly(({ capability }) => `${capability.offset}\n`),
  sriov_stride: readOnly(({ capability }) => `${capability.stride}\n`),
  sriov_vf_device: readOnly(({ capability }) =>
    `${capability.device.toString(16)}\n`
  ),
  sriov_drivers_autoprobe: readWrite(
    ({ autoprobe }) => autoprobe ? "1\n" : "0\n",
    (fn, text) => {
      fn.autoprobe = boolean(text);
    },
  ),
};

/**
 * Returns the paths of virtual functions, by the names of the links to them.
 */
export function virtualPaths(
  { functions }: PhysicalFunction,
): Map<string, string> {
  return new Map([...functions].map(([i, { path }]) => [`virtfn${i}`, path]));
}

function modalias({ identity }: PciFunction): string {
  const part = (value: number, digits: number) =>
    hexDigits(value, digits).toUpperCase();
  const { vendor, device, subsystemVendor, subsystem } = identity;
  return `pci:v${part(vendor, 8)}d${part(device, 8)}` +
    `sv${part(subsystemVendor, 8)}sd${part(subsystem, 8)}` +
    `bc${part(identity.class >> 16, 2)}` +
    `sc${part(identity.class >> 8 & 0xff, 2)}` +
    `i${part(identity.class & 0xff, 2)}`;
}

function uevent(fn: PciFunction): string {
  const { driver, unbinding, identity, name } = fn;
  const subsystem = idPair(identity.subsystemVendor, identity.subsystem);
  return [
    ...(driver === undefined || unbinding ? [] : [`DRIVER=${driver.name}`]),
    `PCI_CLASS=${hexDigits(identity.class, 4).toUpperCase()}`,
    `PCI_ID=${idPair(identity.vendor, identity.device).toUpperCase()}`,
    `PCI_SUBSYS_ID=${subsystem.toUpperCase()}`,
    `PCI_SLOT_NAME=${name}`,
    `MODALIAS=${modalias(fn)}`,
  ].map((line) => `${line}\n`).join("");
}

function storeResetMethod(fn: PciFunction, text: string): void {
  const value = word(text);
  if (value === "default") {
    fn.resets = fn.supportedResets;
    return;
  }
  const methods = value.split(/\s+/).filter((method) => method !== "");
  if (methods.some((method) => !fn.supportedResets.includes(method))) {
    refuse("EINVAL");
  }
  fn.resets = methods;
}

function storeReset(fn: PciFunction, text: string): void {
  if (unsigned(text) !== 1) refuse("EINVAL");
  if (fn.resets.length === 0) refuse("ENOTTY");
  fn.core.reset();
}

function secondaryBus(fn: PciFunction): string {
  const [first] = fn.machine.devices.below(fn.path).values();
  const bus = first === undefined ? 0 : parseInt(first.name.split(":")[1]!, 16);
  return `${bus}\n`;
}
