/**
 * Why nothing tells the interrupts of devices apart, so that a device can forge
 * any interrupt by a write to memory and VFIO refuses it
 * (`iommu_group_has_isolated_msi()` in `drivers/iommu/iommu.c`).
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent, namesIn } from "../sysfs.ts";
import { explainBrokenRemapping } from "./chipsets.ts";
import type { Explanation } from "./explanation.ts";
import { iommuUnits, platformOf } from "./platform.ts";

/** The modules that refuse such devices, unless a parameter says otherwise. */
export type RefusingModule = "iommufd" | "vfio_iommu_type1";

/** Interrupt remapping, in the extended capabilities of an Intel IOMMU. */
const ECAP_IR = 1n << 3n;

/** What QEMU's monitor is told. Its other IOMMUs do not. */
const BY_QEMU = "let its monitor remap them (QEMU: -machine " +
  "kernel-irqchip=split -device intel-iommu,intremap=on)";

/**
 * Whether a module takes devices whose interrupts nothing tells apart.
 *
 * @returns `undefined` where the module is not there.
 */
export function isTrusting(
  kernel: Kernel,
  module: RefusingModule,
): boolean | undefined {
  const text = ifPresent(() => kernel.readFile(parameterOf(module)));
  return text === undefined ? undefined : text.trim() === "Y";
}

/**
 * Says why nothing tells the interrupts of devices apart, and what to do.
 *
 * @param kernel The system.
 * @param modules The modules that are to take devices all the same, where their
 * users are trusted; none where all of them do.
 */
export function explainUnsafeInterrupts(
  kernel: Kernel,
  modules: readonly RefusingModule[],
): Explanation {
  const { problem, hint } = cause(kernel);
  if (modules.length === 0) return { problem, hint };
  const trust = trusting(kernel, modules);
  return {
    problem,
    hint: `${hint}; where every user of a device is trusted, ${trust}`,
  };
}

/** How to have modules trust devices: now, if they are there. */
function trusting(kernel: Kernel, modules: readonly RefusingModule[]): string {
  const present = modules
    .filter((module) => isTrusting(kernel, module) !== undefined);
  return present.length === 0
    ? `load ${modules.join(" and ")} with allow_unsafe_interrupts=1`
    : `until the next boot: echo 1 | tee ${present.map(parameterOf).join(" ")}`;
}

function parameterOf(module: RefusingModule): string {
  return `/sys/module/${module}/parameters/allow_unsafe_interrupts`;
}

function cause(kernel: Kernel): Explanation {
  const read = (path: string) => ifPresent(() => kernel.readFile(path)) ?? "";
  const off = read("/proc/cmdline").split(/\s+/).find((word) =>
    word === "nointremap" || word === "intremap=off"
  );
  if (off !== undefined) {
    return {
      problem: `interrupt remapping is switched off by ${off}`,
      hint: `remove ${off} from the kernel's command line and boot again`,
    };
  }
  const broken = explainBrokenRemapping(kernel);
  if (broken !== undefined) {
    return { problem: broken, hint: "nothing switches it on" };
  }
  const { arm, virtual } = platformOf(kernel);
  if (arm) {
    const version = /\b(GICv\d)/.exec(read("/proc/interrupts"));
    return {
      problem: `the interrupt controller (${version?.[1] ?? "GIC"} without ` +
        "an ITS) cannot tell the interrupts of devices apart",
      hint: "no setting of the firmware changes that",
    };
  }
  const units = iommuUnits(kernel);
  if (units.some(({ maker }) => maker === "virtio")) {
    return { problem: "a virtio IOMMU remaps no interrupts", hint: BY_QEMU };
  }
  if (virtual) {
    return {
      problem: "interrupts are not remapped in this virtual machine",
      hint: BY_QEMU,
    };
  }
  const unable = namesIn(kernel, "/sys/class/iommu").filter((name) => {
    const ecap = read(`/sys/class/iommu/${name}/intel-iommu/ecap`).trim();
    return ecap !== "" && (BigInt(`0x${ecap}`) & ECAP_IR) === 0n;
  });
  if (unable.length > 0) {
    return {
      problem: `the IOMMU cannot remap interrupts (${unable.join(", ")})`,
      hint: "nothing switches it on",
    };
  }
  const log = units.some(({ maker }) => maker === "amd")
    ? "amd-vi"
    : "remapping";
  return {
    problem: "interrupts are not remapped",
    hint: "switch interrupt remapping (x2APIC) on in the firmware's " +
      "set-up, and in the kernel with CONFIG_IRQ_REMAP; look in its log: " +
      `dmesg | grep -i ${log}`,
  };
}
