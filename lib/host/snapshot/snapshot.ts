/**
 * Records a host, so that it can be simulated.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { LOADED } from "./recording.ts";
import type { MediatedTypeRecording, Recording } from "./recording.ts";
import type { KernelRecording, MediatedRecording } from "./recording.ts";
import type { HostDevice } from "../device.ts";
import { denylistOff } from "../driver/denylist.ts";
import { noIommuModeOn } from "../iommu/no_iommu.ts";
import { iommuUnits } from "../iommu/platform.ts";
import { basename, dirname } from "../path.ts";
import type { PciFunction } from "../pci/function.ts";
import { recordFunction } from "./function.ts";
import { exists, ifPresent, linkName, linkTarget, namesIn } from "../sysfs.ts";

const DRIVERS = "/sys/bus/pci/drivers";
const ACPI_TABLES = "/sys/firmware/acpi/tables";

/**
 * The parameters of the command line that change what VFIO does. The others may
 * be private.
 */
const SWITCHES =
  /^(?:(?:(?:intel_|amd_)?iommu|iommu\.\w+|vfio\w*\.\w+|pcie_acs_override|intremap)=|nointremap$)/;

/** The default of `dma_entry_limit`. */
const MAPPING_LIMIT = 65_535;

/**
 * Records the properties of a host that passthrough depends on. Nothing in the
 * recording identifies the host: it has no serial number, no MAC address and no
 * name.
 *
 * @param kernel The host's kernel.
 * @param functions Its functions.
 */
export function record(
  kernel: Kernel,
  functions: readonly PciFunction[],
): Recording {
  const iommu = iommuOf(kernel);
  const files = iommu === "none" ? filesOf(kernel) : {};
  const pools = hugePagesOf(kernel);
  return {
    version: 1,
    iommu,
    kernel: kernelOf(kernel, functions),
    functions: Object.fromEntries(
      functions.map((fn) => [fn.address, recordFunction(fn, iommu !== "none")]),
    ),
    drivers: driversOf(kernel, functions),
    ...mediatedOf(kernel),
    ...(Object.keys(pools).length > 0 && { hugePages: pools }),
    ...(Object.keys(files).length > 0 && { files }),
  };
}

/** Determines which IOMMU translates for devices, if one does. */
function iommuOf(kernel: Kernel): NonNullable<Recording["iommu"]> {
  const units = iommuUnits(kernel);
  if (units.length === 0) return "none";
  const makers = units.map(({ maker }) => maker);
  const other = ["amd", "virtio"] as const;
  return other.find((maker) => makers.includes(maker)) ?? "intel";
}

function kernelOf(
  kernel: Kernel,
  functions: readonly PciFunction[],
): KernelRecording {
  const read = (path: string) => ifPresent(() => kernel.readFile(path))?.trim();
  const mappingLimit = Number(
    read("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit") ??
      MAPPING_LIMIT,
  );
  const translation = functions
    .map(({ iommuGroup }) => iommuGroup?.name === undefined && iommuGroup?.type)
    .find((type) => type !== undefined && type !== false);
  return {
    release: read("/proc/sys/kernel/osrelease") ?? "",
    iommufd: exists(kernel, "/dev/iommu") && functions.every(hasOwnNode),
    commandLine: (read("/proc/cmdline") ?? "").split(/\s+/)
      .filter((word) => SWITCHES.test(word)).join(" "),
    ...(translation && { translation }),
    ...(noIommuModeOn(kernel) && { unsafeNoIommu: true }),
    ...(denylistOff(kernel) && { denylist: false }),
    ...(mappingLimit !== MAPPING_LIMIT && { mappingLimit }),
  };
}

/** Returns false for a device on a VFIO driver that has no node of its own. */
function hasOwnNode(
  { vfioDevice, path, host, iommuGroup }: HostDevice,
): boolean {
  return vfioDevice === undefined || iommuGroup?.name !== undefined ||
    exists(host.kernel, `${path}/vfio-dev/${vfioDevice}/dev`);
}

/**
 * Records the drivers that no function is bound to, and those that are missing.
 */
function driversOf(
  kernel: Kernel,
  functions: readonly PciFunction[],
): NonNullable<Recording["drivers"]> {
  const loaded = namesIn(kernel, DRIVERS);
  const bound = new Set(functions.map(({ driver }) => driver));
  const isFixed = (name: string) => !exists(kernel, `${DRIVERS}/${name}/bind`);
  return Object.fromEntries([
    ...LOADED.filter((name) => !loaded.includes(name))
      .map((name) => [name, false]),
    ...loaded.filter((name) => isFixed(name))
      .map((name) => [name, { bindable: false }]),
    ...loaded.filter((name) =>
      !isFixed(name) && !bound.has(name) && !LOADED.includes(name)
    ).map((name) => [name, {}]),
  ]);
}

function mediatedOf(
  kernel: Kernel,
): Pick<Recording, "mediated" | "mediatedTypes"> {
  const devices = namesIn(kernel, "/sys/bus/mdev/devices").map((uuid) => {
    const path = linkTarget(kernel, `/sys/bus/mdev/devices/${uuid}`) ?? "";
    return { uuid, path, type: linkName(kernel, `${path}/mdev_type`) ?? "" };
  });
  const mediated: Record<string, MediatedRecording> = {};
  for (const { uuid, path, type } of devices) {
    mediated[uuid] = { parent: parentName(dirname(path)), type };
  }
  const mediatedTypes: Record<string, Record<string, MediatedTypeRecording>> =
    {};
  for (const name of namesIn(kernel, "/sys/class/mdev_bus")) {
    const parent = linkTarget(kernel, `/sys/class/mdev_bus/${name}`)!;
    const types = `${parent}/mdev_supported_types`;
    mediatedTypes[parentName(parent)] = Object.fromEntries(
      namesIn(kernel, types).map((type) => {
        const path = `${types}/${type}`;
        const available = kernel.readFile(`${path}/available_instances`);
        const made = devices.filter((device) => device.type === type);
        const driver = made[0] && linkName(kernel, `${made[0].path}/driver`);
        return [type, {
          instances: Number(available) + made.length,
          ...(driver !== undefined && { driver }),
        }];
      }),
    );
  }
  return {
    ...(Object.keys(mediatedTypes).length > 0 && { mediatedTypes }),
    ...(devices.length > 0 && { mediated }),
  };
}

/**
 * Names a parent: a path for a virtual device, else the address of the
 * function.
 */
function parentName(path: string): string {
  return path.startsWith("/sys/devices/virtual/") ? path : basename(path);
}

function hugePagesOf(kernel: Kernel): Record<string, number> {
  const base = "/sys/kernel/mm/hugepages";
  return Object.fromEntries(
    namesIn(kernel, base).flatMap((name) => {
      const text = kernel.readFile(`${base}/${name}/nr_hugepages`);
      const [, size = ""] = /^hugepages-(\d+)kB$/.exec(name) ?? [];
      return Number(text) > 0 ? [[sizeText(Number(size)), Number(text)]] : [];
    }),
  );
}

/** Writes 2048 KiB as `"2M"`. */
function sizeText(kilobytes: number): string {
  return kilobytes >= 2 ** 20
    ? `${kilobytes / 2 ** 20}G`
    : kilobytes >= 2 ** 10
    ? `${kilobytes / 2 ** 10}M`
    : `${kilobytes}K`;
}

/**
 * Records the files that explain why there is no IOMMU: those of the processor
 * and the firmware.
 */
function filesOf(kernel: Kernel): Record<string, string> {
  const cpu = ifPresent(() => kernel.readFile("/proc/cpuinfo")) ?? "";
  const make = /^(?:vendor_id|CPU implementer)\s*:.*$/m.exec(cpu)?.[0];
  const isVirtual = /^flags\s*:.*\bhypervisor\b/m.test(cpu);
  const tables = ["DMAR", "IVRS", "VIOT"]
    .map((name) => `${ACPI_TABLES}/${name}`)
    .filter((path) => exists(kernel, path));
  return {
    "/proc/cpuinfo": (make === undefined ? "" : `${make}\n`) +
      (isVirtual ? "flags\t\t: hypervisor\n" : ""),
    ...Object.fromEntries(tables.map((path) => [path, ""])),
  };
}
