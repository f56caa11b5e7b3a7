/**
 * Checks of interrupts.
 *
 * @module
 */

import { explainBrokenRemapping } from "../../host/iommu/chipsets.ts";
import { pciOption } from "../../host/pci/command_line.ts";
import { switchesMsiOff } from "../../host/pci/quirks.ts";
import { platformOf } from "../../host/iommu/platform.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";
import { iommuGroups } from "./iommu.ts";

/** Interrupt remapping, in the extended capabilities of an Intel IOMMU. */
const ECAP_IR = 1n << 3n;

/** The modules that require it, unless a parameter says otherwise. */
const ASKING = ["vfio_iommu_type1", "iommufd"];

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
  if (!/IO-APIC|GICv/.test(interrupts)) return;
  const unsafe = ASKING.find((name) =>
    examined.read(`/sys/module/${name}/parameters/allow_unsafe_interrupts`) ===
      "Y"
  );
  const { text, remedy } = cause(examined);
  yield unsafe === undefined
    ? {
      check,
      verdict: "fail",
      text: `${text}: VFIO refuses every device`,
      remedy,
    }
    : {
      check,
      verdict: "warn",
      text:
        `${text}, and ${unsafe} accepts devices all the same: one that is ` +
        "handed out can forge any interrupt",
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

const TRUST = "where every user of a device is trusted, load " +
  "vfio_iommu_type1 and iommufd with allow_unsafe_interrupts=1";

function cause(examined: Examined): { text: string; remedy: string } {
  const words = (examined.read("/proc/cmdline") ?? "").split(/\s+/);
  const off = words.find((word) =>
    word === "nointremap" || word === "intremap=off"
  );
  if (off !== undefined) {
    return {
      text: `interrupt remapping is switched off by ${off}`,
      remedy: `remove ${off} from the kernel's command line and boot again`,
    };
  }
  const broken = explainBrokenRemapping(examined.kernel);
  if (broken !== undefined) {
    return {
      text: broken,
      remedy: `nothing switches it on; ${TRUST}`,
    };
  }
  const { arm, virtual } = platformOf(examined.kernel);
  if (arm) {
    const version = /\b(GICv\d)/.exec(examined.read("/proc/interrupts") ?? "");
    return {
      text: `the interrupt controller (${version?.[1] ?? "GIC"} without an ` +
        "ITS) cannot tell the interrupts of devices apart",
      remedy: `no setting of the firmware changes that; ${TRUST}`,
    };
  }
  if (virtual) {
    return {
      text: "interrupts are not remapped in this virtual machine",
      remedy: "let its monitor remap them (QEMU: -machine " +
        `kernel-irqchip=split -device intel-iommu,intremap=on); ${TRUST}`,
    };
  }
  const unable = examined.names("/sys/class/iommu").filter((unit) => {
    const ecap = examined.read(`/sys/class/iommu/${unit}/intel-iommu/ecap`);
    return ecap !== undefined && (BigInt(`0x${ecap}`) & ECAP_IR) === 0n;
  });
  return unable.length > 0
    ? {
      text: `the IOMMU cannot remap interrupts (${unable.join(", ")})`,
      remedy: TRUST,
    }
    : {
      text: "interrupts are not remapped",
      remedy: "switch interrupt remapping (x2APIC) on in the firmware's " +
        "set-up, and in the kernel with CONFIG_IRQ_REMAP; look in its log: " +
        `dmesg | grep -i remapping; ${TRUST}`,
    };
}
