/**
 * Why a device has no IOMMU group.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import type { HostDevice } from "../device.ts";
import { exists, ifPresent } from "../sysfs.ts";
import type { Explanation } from "./explanation.ts";
import { explainGraphicsLeftOut } from "./chipsets.ts";
import { iommuUnits, platformOf } from "./platform.ts";

const PCI_BASE_CLASS_DISPLAY = 0x03;

/**
 * Says why no IOMMU isolates a device: which kernel parameter, module or
 * firmware switch is missing on a machine like this one.
 *
 * @param device A device without an IOMMU group.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { explainNoGroup } from "@passthru/vfio/host";
 *
 * const fn = new Host().function("01:00.0");
 * if (fn.iommuGroup === undefined) console.log(explainNoGroup(fn).hint);
 * ```
 */
export function explainNoGroup(device: HostDevice): Explanation {
  const { kernel } = device.host;
  const units = iommuUnits(kernel).map(({ name }) => name);
  const { problem, hint } = units.length > 0
    ? explainLeftOut(device, units)
    : explainNoIommu(kernel);
  return { problem: `it has no IOMMU group: ${problem}`, hint };
}

/** Says why an IOMMU that translates for others does not cover a device. */
function explainLeftOut(
  { bus, path, host: { kernel } }: HostDevice,
  units: readonly string[],
): Explanation {
  const line = ifPresent(() => kernel.readFile("/proc/cmdline")) ?? "";
  const code = Number(ifPresent(() => kernel.readFile(`${path}/class`)));
  if (bus === "pci" && code >> 16 === PCI_BASE_CLASS_DISPLAY) {
    const word = line.split(/\s+/).find((word) =>
      /^intel_iommu=(?:.*,)?igfx_off(?:,|$)/.test(word)
    );
    if (word !== undefined) {
      return {
        problem: `${word} keeps the graphics out of the IOMMU`,
        hint: "remove igfx_off from the kernel's command line and boot again",
      };
    }
    const quirk = explainGraphicsLeftOut(kernel);
    if (quirk !== undefined) return quirk;
  }
  const { arm, deviceTree } = platformOf(kernel);
  const problem = `the host's IOMMU (${units.join(", ")}) does not cover it`;
  if (bus === "pci" && deviceTree) {
    return {
      problem: `${problem}: the device tree gives the PCI host bridge no ` +
        "iommu-map",
      hint: "a device tree with an iommu-map for it, where the hardware has " +
        "an IOMMU in front of PCI; otherwise nothing short of other hardware " +
        "helps",
    };
  }
  return {
    problem,
    hint: "look in the kernel's log for what kept it out: dmesg | grep -iE " +
      (arm ? "'iommu|smmu|iort'" : "'dmar|iommu|amd-vi'"),
  };
}

/**
 * Whether VFIO drivers take devices that no IOMMU isolates: a parameter of the
 * module `vfio`. Each such device taints the kernel.
 */
export function noIommuModeOn(kernel: Kernel): boolean {
  const path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  return ifPresent(() => kernel.readFile(path))?.trim() === "Y";
}

/**
 * Says why the host has no working IOMMU at all.
 *
 * @param kernel The system.
 */
export function explainNoIommu(kernel: Kernel): Explanation {
  const capabilities = ifPresent(() =>
    kernel.readFile("/proc/xen/capabilities")
  );
  if (capabilities?.includes("control_d")) {
    return {
      problem: "this is Xen's first domain, and Xen keeps the IOMMU to itself",
      hint: "VFIO works without Xen only; Xen hands devices out by its own " +
        "means: xl pci-assignable-add",
    };
  }
  const line = ifPresent(() => kernel.readFile("/proc/cmdline")) ?? "";
  const off = ["iommu", "intel_iommu", "amd_iommu"]
    .find((name) => bootSwitch(line, name) === "off");
  if (off !== undefined) {
    return {
      problem: `the kernel was booted with ${off}=off`,
      hint: off === "intel_iommu"
        ? "boot with intel_iommu=on in its place"
        : `remove ${off}=off from the kernel's command line and boot again`,
    };
  }
  if (line.split(/\s+/).includes("acpi=off")) {
    return {
      problem: "the kernel was booted with acpi=off, and the tables of ACPI " +
        "describe the IOMMU",
      hint: "remove acpi=off from the kernel's command line and boot again",
    };
  }
  const intelOn = bootSwitch(line, "intel_iommu") === "on";
  return fromFirmware(kernel, intelOn) ?? fromProcessor(kernel, intelOn);
}

/** Where the firmware's tables name an IOMMU, it is there but not used. */
function fromFirmware(
  kernel: Kernel,
  intelOn: boolean,
): Explanation | undefined {
  const has = (table: string) =>
    exists(kernel, `/sys/firmware/acpi/tables/${table}`);
  if (has("DMAR")) {
    return intelOn
      ? {
        problem:
          "intel_iommu=on is set, and the kernel could not enable Intel " +
          "VT-d",
        hint: "it needs CONFIG_INTEL_IOMMU; look in its log: " +
          "dmesg | grep -i dmar",
      }
      : {
        problem: "the machine has Intel VT-d and the kernel does not use it",
        hint: "boot with the kernel parameter intel_iommu=on",
      };
  }
  if (has("IVRS")) {
    return {
      problem: "the machine has AMD-Vi and the kernel does not use it",
      hint: "it needs CONFIG_AMD_IOMMU, and no parameter; look in its log: " +
        "dmesg | grep -i amd-vi",
    };
  }
  if (has("VIOT")) {
    return {
      problem: "the machine has a virtio IOMMU and no driver for it is loaded",
      hint: "load the module virtio_iommu from the initramfs, before the " +
        "drivers of the devices behind it",
    };
  }
  return undefined;
}

/**
 * Where the firmware's tables name no IOMMU: the firmware switch of such
 * machines.
 */
function fromProcessor(kernel: Kernel, intelOn: boolean): Explanation {
  const cpu = ifPresent(() => kernel.readFile("/proc/cpuinfo")) ?? "";
  const parameter = intelOn ? "" : " and boot with intel_iommu=on";
  const release =
    ifPresent(() => kernel.readFile("/proc/sys/kernel/osrelease")) ?? "";
  if (/microsoft/i.test(release)) {
    return {
      problem: "this is a virtual machine of WSL, which gets no IOMMU",
      hint: "nothing short of Linux on the machine itself, or in a virtual " +
        "machine of another kind, helps",
    };
  }
  if (/^flags\s*:.*\bhypervisor\b/m.test(cpu)) {
    return {
      problem: "this is a virtual machine, and it was given no IOMMU",
      hint: "let its monitor give it one (QEMU: -device intel-iommu, or " +
        `-device virtio-iommu-pci)${parameter}`,
    };
  }
  const vendor = /^vendor_id\s*:\s*(.+)$/m.exec(cpu)?.[1];
  if (vendor === "GenuineIntel") {
    return {
      problem: "Intel VT-d is switched off in the firmware, or missing",
      hint: `switch VT-d on in the firmware's set-up${parameter}`,
    };
  }
  if (vendor === "AuthenticAMD" || vendor === "HygonGenuine") {
    return {
      problem: "AMD-Vi is switched off in the firmware, or missing",
      hint: "switch AMD-Vi on in the firmware's set-up, where it is often " +
        'called "IOMMU"; the kernel then uses it without a parameter ' +
        "(amd_iommu=on and intel_iommu=on do nothing)",
    };
  }
  if (platformOf(kernel).arm) {
    if (platformOf(kernel).deviceTree) {
      return {
        problem: "the device tree describes no IOMMU, or its driver is not " +
          "loaded",
        hint: "a device tree that describes it, and its driver " +
          "(CONFIG_ARM_SMMU_V3, CONFIG_ARM_SMMU), where the hardware has one; " +
          "otherwise nothing short of other hardware helps",
      };
    }
    return {
      problem: "the firmware describes no SMMU, or its driver is not loaded",
      hint: "switch the SMMU on in the firmware's set-up; the kernel needs " +
        "CONFIG_ARM_SMMU_V3 or CONFIG_ARM_SMMU",
    };
  }
  const look = "look in the kernel's log: dmesg | grep -i iommu";
  const problem = "the kernel found no IOMMU";
  // IBM's machines have one that is always on.
  return /^vendor_id\s*:\s*IBM\/S390|^cpu\s*:\s*POWER/m.test(cpu)
    ? {
      problem,
      hint:
        "the kernel needs CONFIG_S390_IOMMU, on POWER CONFIG_SPAPR_TCE_IOMMU; " +
        look,
    }
    : {
      problem,
      hint: `switch it on in the firmware's set-up, and ${look}`,
    };
}

/** The last value of a switch on the kernel's command line. */
function bootSwitch(line: string, name: string): "on" | "off" | undefined {
  return line.split(/\s+/)
    .filter((word) => word.startsWith(`${name}=`))
    .flatMap((word) => word.slice(name.length + 1).split(","))
    .findLast((value) => value === "on" || value === "off");
}
