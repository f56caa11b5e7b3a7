/**
 * What kind of machine this is, as far as its IOMMU depends on it, and the
 * IOMMUs that it has, as `/sys/class/iommu` lists them.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { exists, ifPresent, linkName, namesIn } from "../sysfs.ts";

const UNITS = "/sys/class/iommu";

/** The kind of a machine. */
export interface Platform {
  /** Whether its processors are Arm's. */
  readonly arm: boolean;
  /** Whether it is described by a device tree rather than by ACPI. */
  readonly deviceTree: boolean;
  /** Whether it is a virtual machine. */
  readonly virtual: boolean;
}

/**
 * Finds what kind of machine this is.
 *
 * @param kernel The system.
 */
export function platformOf(kernel: Kernel): Platform {
  const cpu = ifPresent(() => kernel.readFile("/proc/cpuinfo")) ?? "";
  const interrupts = ifPresent(() => kernel.readFile("/proc/interrupts")) ?? "";
  const acpi = exists(kernel, "/sys/firmware/acpi/tables");
  const arm = /^CPU implementer\s*:/m.test(cpu) || /\bGICv\d/.test(interrupts);
  return {
    arm,
    deviceTree: exists(kernel, "/sys/firmware/devicetree/base") ||
      exists(kernel, "/proc/device-tree") || arm && !acpi,
    virtual: /^flags\s*:.*\bhypervisor\b/m.test(cpu),
  };
}

/** Whose IOMMU it is. */
export type IommuMaker = "intel" | "amd" | "arm" | "virtio";

/** An IOMMU. */
export interface IommuUnit {
  /** Its name: `"dmar0"`. */
  readonly name: string;
  /** Whose it is, where its driver is one that this library knows. */
  readonly maker: IommuMaker | undefined;
}

/** The beginnings of names. */
const NAMES: ReadonlyArray<readonly [RegExp, IommuMaker]> = [
  [/^dmar/, "intel"],
  [/^ivhd/, "amd"],
  [/^smmu|^arm-smmu/, "arm"],
];

/**
 * Lists the IOMMUs that translate for some device. The kernel's mock IOMMU is
 * listed by the kernel even when it does not.
 *
 * @param kernel The system.
 */
export function iommuUnits(kernel: Kernel): IommuUnit[] {
  return namesIn(kernel, UNITS)
    .filter((name) => namesIn(kernel, `${UNITS}/${name}/devices`).length > 0)
    .map((name) => ({ name, maker: makerOf(kernel, name) }));
}

function makerOf(kernel: Kernel, name: string): IommuMaker | undefined {
  const known = NAMES.find(([beginning]) => beginning.test(name));
  if (known !== undefined) return known[1];
  // It has the name of the function, or of the platform device, that it is.
  const device = linkName(kernel, `${UNITS}/${name}/device`);
  return device !== undefined && /^virtio\d+$/.test(device)
    ? "virtio"
    : undefined;
}
