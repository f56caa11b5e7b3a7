/**
 * Shows the directory of a device on a bus other than PCI
 * (`drivers/base/core.c`, `drivers/base/platform.c`).
 *
 * @module
 */

import type { BusDevice } from "../driver/bus_device.ts";
import { onlyWhere, readOnly, type Table } from "../fs/tree.ts";
import { DEVICE_TABLE } from "./device.ts";
import { OVERRIDE, POWER } from "./driver_settings.ts";

/** The entries of such a device. */
export const BUS_DEVICE_TABLE: Table<BusDevice> = {
  ...DEVICE_TABLE,
  driver_override: onlyWhere<BusDevice>(
    ({ overridable }) => overridable,
    OVERRIDE,
  ),
  power: POWER,
  uevent: readOnly(({ bus, name, driver, unbinding }) =>
    (driver === undefined || unbinding ? "" : `DRIVER=${driver.name}\n`) +
    `MODALIAS=${bus}:${name}\n`
  ),
};
