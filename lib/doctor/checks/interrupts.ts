/**
 * Checks of interrupts.
 *
 * @module
 */

import {
  explainUnsafeInterrupts,
  isTrusting,
  type RefusingModule,
} from "../../host/iommu/remapping.ts";
import { pciOption } from "../../host/pci/command_line.ts";
import { switchesMsiOff } from "../../host/pci/quirks.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";
import { iommuGroups } from "./iommu.ts";

/** The modules that require it, unless a parameter says otherwise. */
const ASKING: readonly RefusingModule[] = ["vfio_iommu_type1", "iommufd"];

/**
 * Whether interrupts are remapped. Otherwise a device can forge any interrupt
 * by writing to memory, and VFIO refuses every device
 * (`iommu_group_has_isolated_msi()` in `drivers/iommu/iommu.c`).
 *
 * The names of interrupt chips with remapping begin with `IR-`
 * (`drivers/iommu/intel/irq_remapping.c`, `drivers/iommu/amd/iommu.c`). On Arm,
 * the ITS isolates the interrupts of devices.
 */
export function* interruptRemapping(examined: Examined): Generator<Finding> {
  const check = "interrupt-remapping";
  const interrupts = examined.read("/proc/interrupts");
  if (iommuGroups(examined).length === 0 || interrupts === undefined) return;
  const remaps = /\sIR-/.test(interrupts);
  if (remaps || /\sITS-/.test(interrupts)) {
    const text = `${remaps ? "the IOMMU" : "the ITS"} tells the interrupts ` +
      "of devices apart";
    yield { check, verdict: "pass", text };
    return;
  }
  // Other architectures have other ways, without a common name.
  if (!/IO-APIC|XT-PIC|GICv/.test(interrupts)) return;
  const { kernel } = examined;
  const trusting = ASKING.filter((name) => isTrusting(kernel, name) === true);
  const refusing = ASKING.filter((name) => isTrusting(kernel, name) === false);
  const { problem, hint: remedy } = explainUnsafeInterrupts(
    kernel,
    trusting.length === 0 ? ASKING : refusing,
  );
  yield trusting.length === 0
    ? {
      check,
      verdict: "fail",
      text: `${problem}: VFIO refuses every device`,
      remedy,
    }
    : {
      check,
      verdict: "warn",
      text: `${problem}, and ${trusting.join(" and ")} ` +
        `${trusting.length > 1 ? "accept" : "accepts"} devices all the same` +
        (refusing.length > 0 ? `, unlike ${refusing.join(" and ")}` : "") +
        ": one that is handed out can forge any interrupt",
      remedy,
    };
}

/**
 * Whether devices have MSI and MSI-X, of which a user gets none where the
 * kernel has them off.
 */
export function* messageInterrupts(examined: Examined): Generator<Finding> {
  if (iommuGroups(examined).length === 0) return;
  const check = "message-interrupts";
  const off = pciOption(examined.kernel, "nomsi");
  const chipset = examined.kernelHost.functions().find(switchesMsiOff);
  if (off === undefined && chipset === undefined) {
    const text = "the kernel has MSI";
    yield { check, verdict: "pass", text };
    return;
  }
  const only =
    "devices have no interrupts but INTx, and virtual functions none";
  yield off === undefined
    ? {
      check,
      verdict: "warn",
      text:
        `MSI is off for an erratum of the chip set (${chipset!.address}): ` +
        only,
      remedy: "nothing switches it on",
    }
    : {
      check,
      verdict: "warn",
      text: `${off} keeps MSI off: ${only}`,
      remedy: `remove ${off} from the kernel's command line and boot again`,
    };
}
