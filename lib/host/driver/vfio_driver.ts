/**
 * Which drivers leave an IOMMU group to user space.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";

/**
 * Drivers besides VFIO's that do no DMA of their own: the users of
 * `driver_managed_dma = true` outside `drivers/vfio/` (Linux 7.3:
 * `drivers/pci/pci-stub.c`, `drivers/pci/pcie/portdrv.c`,
 * `arch/powerpc/sysdev/fsl_pci.c`).
 */
const BYSTANDERS: ReadonlySet<string> = new Set([
  "fsl-pci",
  "pci-stub",
  "pcieport",
]);

/**
 * Whether a driver is one of VFIO's, by its name: `vfio-pci`, its variants such
 * as `mlx5_vfio_pci`, `vfio-platform` and so on. All of `drivers/vfio/` are
 * named like that.
 */
export function isVfioDriver(driver: string): boolean {
  return /(?:^|[-_])vfio(?:[-_]|$)/.test(driver);
}

/**
 * The driver by which VFIO has the devices of a bus (`drivers/vfio/`,
 * `drivers/s390/cio/vfio_ccw_drv.c`).
 */
const BY_BUS: Readonly<Record<string, string>> = {
  "amba": "vfio-amba",
  "cdx": "vfio-cdx",
  "css": "vfio_ccw",
  "fsl-mc": "vfio-fsl-mc",
  "pci": "vfio-pci",
  "platform": "vfio-platform",
};

/**
 * The driver by which VFIO has the devices of a bus.
 *
 * @param bus The bus.
 * @returns Its name, or `undefined` for a bus whose devices VFIO does not take
 * from drivers, such as that of mediated devices.
 */
export function vfioDriverOf(bus: string): string | undefined {
  return Object.hasOwn(BY_BUS, bus) ? BY_BUS[bus] : undefined;
}

/**
 * What {@linkcode Host.take} calls a device: a function by its address, any
 * other by its path.
 *
 * @param device The bus that it is on, and its name.
 */
export function takeTarget(
  { bus, name }: { readonly bus: string; readonly name: string },
): string {
  return bus === "pci" ? name : `/sys/bus/${bus}/devices/${name}`;
}

/**
 * Whether a device must have an IOMMU group for its VFIO driver. A subchannel
 * is not handed out itself: its driver makes a mediated device of it.
 *
 * @param bus The bus of the device.
 */
export function needsGroup(bus: string): boolean {
  return bus !== "css";
}

/**
 * Whether a driver has no ids of its own, and binds a function only by an
 * override or by ids that it was given.
 */
export function takesNothingByItself(driver: string): boolean {
  return isVfioDriver(driver) || driver === "pci-stub";
}

/** A member of an IOMMU group, as far as viability depends on it. */
export interface Member {
  /** The driver that it is bound to. */
  readonly driver: string | undefined;
  /** The bus it is on. */
  readonly bus: string;
  /** The name of its VFIO device, where it has one. */
  readonly vfioDevice: string | undefined;
}

/**
 * Whether a member of an IOMMU group keeps the group from being viable.
 *
 * The kernel's rule: a driver that binds takes the group's default domain for
 * the kernel, unless it says that it manages DMA itself (`pci_dma_configure()`
 * in `drivers/pci/pci-driver.c` and its like on the other buses), and a group
 * with such a driver cannot be claimed for user space
 * (`iommu_group_claim_dma_owner()`, called from `drivers/vfio/group.c`). A
 * member without a driver is no obstacle.
 */
export function standsInTheWay(member: Member): boolean {
  const { driver, bus, vfioDevice } = member;
  return driver !== undefined && vfioDevice === undefined && bus !== "mdev" &&
    !isVfioDriver(driver) && !BYSTANDERS.has(driver);
}

/**
 * Whether functions of a class have the header that VFIO's PCI drivers refuse:
 * PCI and CardBus bridges (`vfio_pci_core_register_device()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @param code The 24 bits of the class register.
 */
export function isBridgeClass(code: number): boolean {
  return code >> 8 === 0x0604 || code >> 8 === 0x0607;
}

/**
 * Refuses what cannot be the name of a driver. In a path it would lead to some
 * other place than a driver.
 *
 * @param name The name.
 * @throws {TypeError} If it is none.
 */
export function assertDriverName(name: unknown): asserts name is string {
  const isName = typeof name === "string" &&
    /^(?!\.{1,2}$)[\w.+-]+$/.test(name);
  if (isName) return;
  throw new TypeError(
    `Cannot bind to driver ${shortJson(name)}: expected a name`,
  );
}
