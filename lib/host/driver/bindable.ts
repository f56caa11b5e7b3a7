/**
 * Which driver can bind a device.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../device.ts";
import { isEndpointClass } from "../pci/endpoint.ts";
import { explainDenied } from "./denylist.ts";
import { explainNoGroup, noIommuModeOn } from "../iommu/no_iommu.ts";
import { PciFunction } from "../pci/function.ts";
import { exists } from "../sysfs.ts";
import {
  assertDriverName,
  isBridgeClass,
  isVfioDriver,
  needsGroup,
} from "./vfio_driver.ts";

/**
 * Refuses a driver that is certain not to bind a device: one that is not
 * loaded, or a VFIO driver for a bridge or for a device without an IOMMU.
 *
 * @param device The device.
 * @param driver The driver.
 * @throws {TypeError} When it is no name of a driver.
 * @throws {VfioError} `DRIVER_FAILED` or `NO_IOMMU_GROUP`.
 */
export function assertBindable(device: HostDevice, driver: string): void {
  assertDriverName(driver);
  const { name, bus, host: { kernel } } = device;
  if (!exists(kernel, `/sys/bus/${bus}/drivers/${driver}`)) {
    throw new VfioError("DRIVER_FAILED", {
      device: name,
      problem: `the driver ${driver} is not loaded`,
      hint: `modprobe ${driver}`,
    });
  }
  if (!isVfioDriver(driver)) return;
  // vfio_group_find_or_alloc() in drivers/vfio/group.c
  if (
    needsGroup(bus) && device.iommuGroup === undefined &&
    !noIommuModeOn(kernel)
  ) {
    throw new VfioError("NO_IOMMU_GROUP", {
      device: name,
      ...explainNoGroup(device),
    });
  }
  if (!(device instanceof PciFunction)) return;
  if (!isEndpointClass(device.class)) {
    throw new VfioError("DRIVER_FAILED", {
      device: name,
      ...isBridgeClass(device.class)
        ? {
          problem: "it is a bridge, and VFIO drivers refuse bridges",
          hint: "take the functions behind it",
        }
        : {
          problem: "it is a part of the machine that nobody else can use: " +
            (device.className ?? "a bridge"),
          hint: "leave it alone: without a driver, it is in nobody's way",
        },
    });
  }
  const denied = explainDenied(kernel, driver, device.vendor, device.device);
  if (denied === undefined) return;
  throw new VfioError("DRIVER_FAILED", { device: name, ...denied });
}

/**
 * Refuses a take that is certain to fail, before the host loses the device.
 *
 * @param device The device.
 * @param driver The driver.
 * @throws {TypeError} When it is no name of a driver.
 * @throws {VfioError} `DRIVER_FAILED` or `NO_IOMMU_GROUP`.
 */
export function refuseHopeless(device: HostDevice, driver: string): void {
  assertBindable(device, driver);
  if (!isVfioDriver(driver) || !(device instanceof PciFunction)) return;
  // vfio_pci_core_register_device() in drivers/vfio/pci/vfio_pci_core.c; and
  // most drivers take their virtual functions with them when they go.
  const { length } = device.virtualFunctions;
  if (length > 0) {
    throw new VfioError("DRIVER_FAILED", {
      device: device.name,
      problem: `${driver} refuses functions that have virtual functions, ` +
        `and this one has ${length}`,
      hint: `take those, or remove them: echo 0 > ${device.path}/sriov_numvfs`,
    });
  }
}
