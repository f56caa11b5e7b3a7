/**
 * What vfio-pci refuses by its identity (`vfio_pci_is_denylisted()` in
 * `drivers/vfio/pci/vfio_pci.c`).
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Explanation } from "../iommu/explanation.ts";
import { exists, ifPresent } from "../sysfs.ts";

const PCI_VENDOR_ID_INTEL = 0x8086;

/** QuickAssist, physical and virtual functions. */
const QUICK_ASSIST = [0x0435, 0x0443, 0x19e2, 0x19e3, 0x37c8, 0x37c9];
/** The accelerators for data streaming and analytics (CVE-2024-21823). */
const ACCELERATORS = [0x0b25, 0x0cfe];

/** Each part of the list, and the first kernels that have it. */
const LIST: ReadonlyArray<{
  readonly devices: readonly number[];
  /** The first of the mainline, and the first of each older series. */
  readonly since: readonly (readonly [number, number, number])[];
}> = [
  { devices: QUICK_ASSIST, since: [[5, 9, 0]] },
  {
    devices: ACCELERATORS,
    since: [
      [6, 10, 0],
      ...[[6, 9, 1], [6, 8, 10], [6, 6, 31], [6, 1, 91], [5, 15, 159]] as [
        number,
        number,
        number,
      ][],
    ],
  },
];

/**
 * Whether the vfio-pci of a kernel has a device on its list.
 *
 * @param vendor The vendor's id.
 * @param device The device's id.
 * @param release The kernel's release: `"6.12.90-1-amd64"`.
 */
export function isOnDenylist(
  vendor: number,
  device: number,
  release: string,
): boolean {
  if (vendor !== PCI_VENDOR_ID_INTEL) return false;
  const part = LIST.find(({ devices }) => devices.includes(device));
  if (part === undefined) return false;
  const [major = 0, minor = 0, patch = 0] = release.split(/[.-]/).map(Number);
  const [first, ...series] = part.since;
  if (major > first![0] || major === first![0] && minor >= first![1]) {
    return true;
  }
  return series.some(([a, b, c]) => major === a && minor === b && patch >= c);
}

/**
 * Whether vfio-pci was loaded without its denylist.
 *
 * @param kernel The system.
 */
export function denylistOff(kernel: Kernel): boolean {
  const path = "/sys/module/vfio_pci/parameters/disable_denylist";
  return ifPresent(() => kernel.readFile(path))?.trim() === "Y";
}

/**
 * Why a driver refuses a device by its identity.
 *
 * @param kernel The system.
 * @param driver The driver.
 * @param vendor The vendor's id.
 * @param device The device's id.
 * @returns `undefined` where it does not.
 */
export function explainDenied(
  kernel: Kernel,
  driver: string,
  vendor: number,
  device: number,
): Explanation | undefined {
  if (driver !== "vfio-pci") return undefined;
  const release = ifPresent(() => kernel.readFile("/proc/sys/kernel/osrelease"))
    ?.trim();
  if (release === undefined || !isOnDenylist(vendor, device, release)) {
    return undefined;
  }
  if (denylistOff(kernel)) return undefined;
  const list = `/lib/modules/${release}/modules.builtin`;
  const builtIn = exists(kernel, list) &&
    /\/vfio-pci\.ko/.test(ifPresent(() => kernel.readFile(list)) ?? "");
  return {
    problem: `vfio-pci refuses ${hexDigits(vendor, 4)}:` +
      `${hexDigits(device, 4)}, which is on its denylist: its user can harm ` +
      "the host",
    hint: "only where every user of it is trusted: " +
      (builtIn
        ? "boot with vfio-pci.disable_denylist=1"
        : "put options vfio-pci disable_denylist=1 into /etc/modprobe.d and " +
          "load vfio-pci again"),
  };
}
