/**
 * What kind of machine this is, as far as its IOMMU depends on it.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { exists, ifPresent } from "../sysfs.ts";

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
