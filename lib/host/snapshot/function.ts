/**
 * Records a PCI function.
 *
 * @module
 */

import { hex, idPair } from "../../hex.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { formatBar } from "./bar_text.ts";
import type { FunctionRecording } from "./recording.ts";
import type { InterruptsRecording, SriovRecording } from "./recording.ts";
import { O_RDONLY } from "../../uapi/linux/fcntl.ts";
import {
  PCI_EXT_CAP_ID_SRIOV,
  PCI_SRIOV_TOTAL_VF,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_QSIZE,
} from "../../uapi/pci/regs.ts";
import { basename, dirname } from "../path.ts";
import { hasAcs } from "../pci/topology/acs.ts";
import { ConfigSpace } from "../pci/config_space.ts";
import type { IommuGroup } from "../device.ts";
import { type Bar, barsIn, PciFunction } from "../pci/function.ts";
import { exists, ifPresent, namesIn } from "../sysfs.ts";
import { isBridgeClass, isVfioDriver } from "../driver/vfio_driver.ts";

/**
 * The number of BARs, and the lines of `resource` for the ROM and for the BARs
 * of virtual functions.
 */
const BARS = 6;
const ROM = 6;
const FIRST_VF_BAR = 7;

/**
 * Records the identity of a function and how it is bound. For a virtual
 * function it records only the latter, since its physical function has its
 * identity.
 *
 * @param fn The function.
 * @param hasIommu Whether the host has an IOMMU. Then a function without a
 * group is recorded as one that the IOMMU does not cover.
 */
export function recordFunction(
  fn: PciFunction,
  hasIommu: boolean,
): FunctionRecording {
  return fn.physicalFunction === undefined
    ? { ...identityOf(fn), ...stateOf(fn, hasIommu) }
    : stateOf(fn, hasIommu);
}

function stateOf(fn: PciFunction, hasIommu: boolean): FunctionRecording {
  const { driver, driverOverride: override, iommuGroup, host } = fn;
  // VFIO made a group with a name. The simulation makes it again.
  const group = iommuGroup === undefined || iommuGroup.name !== undefined
    ? null
    : Number(iommuGroup.id);
  const power = ifPresent(() =>
    host.kernel.readFile(`${fn.path}/power/control`)
  )?.trim();
  const defaultPower = driver !== undefined && isVfioDriver(driver)
    ? "auto"
    : "on";
  const unboundBridge = driver === undefined && isBridgeClass(fn.class) &&
    isExpress(fn);
  return {
    ...(driver !== undefined && { driver }),
    ...(unboundBridge && { driver: null }),
    ...(override !== undefined && { override }),
    ...((power === "on" || power === "auto") && power !== defaultPower &&
      { power }),
    ...(hasIommu && { group }),
  };
}

function identityOf(fn: PciFunction): FunctionRecording {
  const { kernel } = fn.host;
  const parentName = basename(parentOf(fn.path));
  const lines = kernel.readFile(`${fn.path}/resource`).trimEnd().split("\n");
  const [rom] = barsIn(lines.slice(ROM, ROM + 1));
  const functionBars = barsIn(lines.slice(0, BARS));
  const interrupts = interruptsOf(kernel, `${fn.path}/config`);
  const sriov = sriovOf(
    fn,
    barsIn(lines.slice(FIRST_VF_BAR, FIRST_VF_BAR + BARS)),
  );
  const { subsystemVendor, subsystemDevice, revision, numaNode } = fn;
  const { resetMethods } = fn;
  const directRegions = keptMapped(fn.iommuGroup);
  const reserved = directRegions.length > 0 && isFirstOfGroup(fn)
    ? directRegions
    : [];
  const [network] = namesIn(kernel, `${fn.path}/net`);
  const express = isExpress(fn);
  const acs = express ? hasAcs(fn) : undefined;
  const usualAcs = isBridgeClass(fn.class) || sriov !== undefined;
  return {
    id: idPair(fn.vendor, fn.device),
    ...((subsystemVendor !== fn.vendor || subsystemDevice !== 0) &&
      { subsystem: idPair(subsystemVendor, subsystemDevice) }),
    class: fn.class,
    ...(revision !== 0 && { revision }),
    ...(/^[0-9a-f]{4,8}:/.test(parentName) && { behind: parentName }),
    ...(!express && { conventional: true }),
    ...(acs !== undefined && acs !== usualAcs && { acs }),
    ...(reserved.length > 0 && { reserved }),
    ...(numaNode !== undefined && { numaNode }),
    ...(functionBars.length > 0 && { bars: describe(functionBars) }),
    ...(rom !== undefined && {
      rom: formatBar({ ...specOf(rom), prefetchable: false }),
    }),
    ...((resetMethods.length > 0 || express && !isBridgeClass(fn.class)) &&
      { reset: resetMethods }),
    ...(interrupts !== undefined && { interrupts }),
    ...(network !== undefined && { network }),
    ...(sriov !== undefined && { sriov }),
  };
}

/**
 * Returns the name of the directory above a function, without the root bus: a
 * bridge, a function whose driver makes its domain, or something that is no
 * function.
 */
function parentOf(path: string): string {
  const parent = dirname(path);
  return basename(parent).startsWith("pci") ? dirname(parent) : parent;
}

/**
 * Whether this function carries the properties of its whole group. Sysfs does
 * not say to which of the group's functions they belong.
 */
function isFirstOfGroup({ path, iommuGroup }: PciFunction): boolean {
  const functions = (iommuGroup?.devices ?? [])
    .filter((device) => device instanceof PciFunction);
  const endpoints = functions.filter((fn) => !isBridgeClass(fn.class));
  return (endpoints[0] ?? functions[0])?.path === path;
}

/** The memory that the firmware keeps mapped for a group. */
function keptMapped(group: IommuGroup | undefined): string[] {
  return (group?.reservedRegions ?? [])
    .filter(({ type }) => type.startsWith("direct"))
    .map(({ start, last, type }) => `${hex(start)} ${hex(last)} ${type}`);
}

/** Whether it is a PCI Express function: only those have a link. */
function isExpress({ host, path }: PciFunction): boolean {
  return exists(host.kernel, `${path}/max_link_speed`);
}

function sriovOf(
  fn: PciFunction,
  bars: readonly Bar[],
): SriovRecording | undefined {
  const read = (name: string) =>
    ifPresent(() => fn.host.kernel.readFile(`${fn.path}/sriov_${name}`))
      ?.trim();
  const total = Number(read("totalvfs") ?? 0);
  if (total === 0) return undefined;
  const enabled = fn.virtualFunctions.length;
  const room = roomOf(fn) ?? total;
  return {
    total,
    ...(enabled > 0 && { enabled }),
    id: idPair(fn.vendor, parseInt(read("vf_device") ?? "0", 16)),
    ...(read("drivers_autoprobe") === "0" && { autoprobe: false }),
    offset: Number(read("offset")),
    stride: Number(read("stride")),
    ...(bars.length > 0 && {
      bars: describe(
        bars.map((bar) => ({
          ...bar,
          size: 2 ** Math.floor(Math.log2(bar.size / room)),
        })),
      ),
    }),
  };
}

/**
 * Reads how many virtual functions the hardware has, if this user may read it.
 * Their BARs have room for as many. A driver can allow fewer.
 */
function roomOf(fn: PciFunction): number | undefined {
  using config = new ConfigSpace(fn.host.kernel, fn.path);
  const at = config.extended(PCI_EXT_CAP_ID_SRIOV);
  return typeof at === "number"
    ? config.read16(at + PCI_SRIOV_TOTAL_VF)
    : undefined;
}

/**
 * Reads the interrupts from config space. Only root can read them; otherwise it
 * returns `undefined`.
 */
function interruptsOf(
  kernel: Kernel,
  path: string,
): InterruptsRecording | undefined {
  const config = new Uint8Array(PCI_CFG_SPACE_SIZE);
  const fd = kernel.open(path, O_RDONLY);
  try {
    if (kernel.pread(fd, config, 0n) < config.length) return undefined;
  } finally {
    kernel.close(fd);
  }
  const view = new DataView(config.buffer);
  let msi = 0;
  let msix = 0;
  let at = config[PCI_CAPABILITY_LIST]! & ~0x3;
  for (let room = 48; at !== 0 && room > 0; room--) {
    const id = config[at];
    if (id === PCI_CAP_ID_MSI) {
      const flags = view.getUint16(at + PCI_MSI_FLAGS, true);
      msi = 1 << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);
    } else if (id === PCI_CAP_ID_MSIX) {
      const flags = view.getUint16(at + PCI_MSIX_FLAGS, true);
      msix = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
    }
    at = config[at + 1]! & ~0x3;
  }
  const intx = config[PCI_INTERRUPT_PIN] !== 0;
  return {
    ...(intx && { intx }),
    ...(msi > 0 && { msi }),
    ...(msix > 0 && { msix }),
  };
}

/** Describes BARs by number, with `null` for missing ones. */
function describe(bars: readonly Bar[]): (string | null)[] {
  const length = Math.max(...bars.map(({ index }) => index)) + 1;
  const described: (string | null)[] = Array(length).fill(null);
  for (const bar of bars) described[bar.index] = formatBar(specOf(bar));
  return described;
}

function specOf({ size, kind, is64bit, prefetchable, start }: Bar): {
  size: number;
  io: boolean;
  wide: boolean;
  prefetchable: boolean;
  start: bigint;
} {
  return { size, io: kind === "io", wide: is64bit, prefetchable, start };
}
