/**
 * Shows what the directories of devices on all buses have in common
 * (`drivers/base/core.c`, `drivers/vfio/vfio_main.c`).
 *
 * @module
 */

import type { Device } from "../driver/bus.ts";
import type { Directory } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import {
  link,
  mapDirectory,
  only,
  onlyWhere,
  readOnly,
  type Table,
  tableDirectory,
} from "../fs/tree.ts";
import { cdevNumber, isListed } from "../vfio/core.ts";

/** The entries of every device. */
export const DEVICE_TABLE: Table<Device> = {
  subsystem: link(({ bus }) => `/sys/bus/${bus}`),
  driver: link(({ bus, driver, unbinding }) =>
    driver === undefined || unbinding
      ? undefined
      : `/sys/bus/${bus}/drivers/${driver.name}`
  ),
  iommu_group: link(({ group }) =>
    group === undefined ? undefined : `/sys/kernel/iommu_groups/${group.id}`
  ),
};

/** Makes what VFIO adds to a device's directory, while it has the device. */
export function vfioDirectory(machine: Machine, device: Device): Directory {
  const table: Table<Device> = {
    device: link(({ path }) => path),
    subsystem: link(() => "/sys/class/vfio-dev"),
    dev: onlyWhere(
      (device) => cdevNumber(machine, device) !== undefined,
      readOnly((device) => `${cdevNumber(machine, device)}\n`),
    ),
  };
  const present = () => isListed(machine, device) ? device : undefined;
  return mapDirectory(
    device.path,
    () => only("vfio-dev", present()),
    (_, path) =>
      mapDirectory(
        path,
        () => only(device.vfio?.name ?? "", present()),
        (device, path) => tableDirectory(device, path, table),
      ),
  );
}
