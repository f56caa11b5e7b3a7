/**
 * Chip sets whose faults the kernel knows: what it switches off for them.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent, namesIn } from "../sysfs.ts";
import type { Explanation } from "./explanation.ts";

const DEVICES = "/sys/bus/pci/devices";
const PCI_VENDOR_ID_INTEL = 0x8086;

/**
 * Host bridges that lose interrupts where these are remapped, up to a revision:
 * Intel 5500, 5520 and X58 (`intel_remapping_check()` in
 * `arch/x86/kernel/early-quirks.c`).
 */
const REMAPPING_BROKEN = [0x3403, 0x3405, 0x3406];
const LAST_BROKEN = 0x13;
/** A later revision of one of them is as broken. */
const ALSO_BROKEN = { device: 0x3405, revision: 0x22 };

/**
 * Host bridges for whose graphics the kernel switches Intel's IOMMU off
 * (`quirk_iommu_igfx()` in `drivers/iommu/intel/iommu.c`): G4x, GM45 and
 * Broadwell.
 */
const GRAPHICS_LEFT_OUT = [
  ...[0x2a40, 0x2e00, 0x2e10, 0x2e20, 0x2e30, 0x2e40, 0x2e90],
  ...[0x1606, 0x160b, 0x160e, 0x1602, 0x160a, 0x160d, 0x1616, 0x161b, 0x161e],
  ...[0x1612, 0x161a, 0x161d, 0x1626, 0x162b, 0x162e, 0x1622, 0x162a, 0x162d],
  ...[0x1636, 0x163b, 0x163e, 0x1632, 0x163a, 0x163d],
];

/**
 * Host bridges for whose graphics the kernel switches it off where the firmware
 * gives them no memory for the IOMMU's tables: Ironlake
 * (`quirk_calpella_no_shadow_gtt()` there).
 */
const GRAPHICS_WITHOUT_TABLES = [0x0040, 0x0062, 0x006a];

/** A function of which only the identity is read. */
interface Identity {
  readonly address: string;
  readonly device: number;
  readonly revision: number;
}

function intelDevices(kernel: Kernel, wanted: readonly number[]): Identity[] {
  const number = (path: string) =>
    Number(ifPresent(() => kernel.readFile(path))?.trim());
  return namesIn(kernel, DEVICES).flatMap((address) => {
    const device = number(`${DEVICES}/${address}/device`);
    if (!wanted.includes(device)) return [];
    if (number(`${DEVICES}/${address}/vendor`) !== PCI_VENDOR_ID_INTEL) {
      return [];
    }
    const revision = number(`${DEVICES}/${address}/revision`);
    return [{ address, device, revision }];
  });
}

/**
 * Whether a host bridge loses interrupts where these are remapped.
 *
 * @param bridge Its identity.
 */
export function losesRemappedInterrupts(
  { vendor, device, revision }: {
    readonly vendor: number;
    readonly device: number;
    readonly revision: number;
  },
): boolean {
  return vendor === PCI_VENDOR_ID_INTEL && REMAPPING_BROKEN.includes(device) &&
    (revision <= LAST_BROKEN ||
      device === ALSO_BROKEN.device && revision === ALSO_BROKEN.revision);
}

/**
 * The chip set for whose erratum the kernel keeps interrupt remapping off.
 *
 * @param kernel The system.
 * @returns A clause, or `undefined`.
 */
export function explainBrokenRemapping(kernel: Kernel): string | undefined {
  const broken = intelDevices(kernel, REMAPPING_BROKEN)
    .find(({ device, revision }) =>
      losesRemappedInterrupts({
        vendor: PCI_VENDOR_ID_INTEL,
        device,
        revision,
      })
    );
  return broken && "the kernel keeps interrupt remapping off for an erratum " +
      `of the chip set (5500, 5520, X58; ${broken.address})`;
}

/**
 * Why the kernel keeps Intel's graphics out of the IOMMU.
 *
 * @param kernel The system.
 */
export function explainGraphicsLeftOut(
  kernel: Kernel,
): Explanation | undefined {
  const [bridge] = intelDevices(kernel, GRAPHICS_LEFT_OUT);
  if (bridge !== undefined) {
    return {
      problem: "the kernel keeps the graphics of this chip set out of the " +
        `IOMMU (${bridge.address})`,
      hint: "nothing short of another machine helps",
    };
  }
  const [needing] = intelDevices(kernel, GRAPHICS_WITHOUT_TABLES);
  return needing && {
    problem: "the firmware gives the graphics of this chip set " +
      `(${needing.address}) no memory for the IOMMU's tables, so that the ` +
      "kernel keeps it out",
    hint: "give the graphics more memory in the firmware's set-up, with VT-d " +
      "on, or update the firmware; otherwise nothing short of another machine " +
      "helps",
  };
}
