/**
 * Shows mediated devices and their types (`drivers/vfio/mdev/mdev_sysfs.c`).
 *
 * @module
 */

import { run } from "../process/blocking.ts";
import type { Directory } from "../fs/file.ts";
import type { MediatedDevice, MediatedType } from "../driver/mediated.ts";
import { DEVICE_TABLE } from "./device.ts";
import {
  link,
  linkTo,
  mapDirectory,
  only,
  readOnly,
  type Table,
  tableDirectory,
  writeOnly,
} from "../fs/tree.ts";

/** The entries of a mediated device. */
export const MEDIATED_TABLE: Table<MediatedDevice> = {
  ...DEVICE_TABLE,
  mdev_type: link(({ type }) => typePath(type)),
  remove: writeOnly((device, text) => run(device.remove(text))),
};

const TYPE_TABLE: Table<MediatedType> = {
  name: readOnly(({ name }) => `${name.slice(name.indexOf("-") + 1)}\n`),
  device_api: readOnly(() => "vfio-pci\n"),
  available_instances: readOnly(({ available }) => `${available}\n`),
  create: writeOnly((type, text) => run(type.create(text))),
  devices: ({ devices }, path) =>
    mapDirectory(
      path,
      () => devices,
      (device, path) => linkTo(path, device.path),
    ),
};

/** Makes the directory `mdev_supported_types` of a parent. */
export function typesDirectory(
  parent: string,
  types: ReadonlyMap<string, MediatedType>,
): Directory {
  return mapDirectory(
    parent,
    () => only("mdev_supported_types", types),
    (types, path) =>
      mapDirectory(
        path,
        () => types,
        (type, path) => tableDirectory(type, path, TYPE_TABLE),
      ),
  );
}

function typePath({ parent, name }: MediatedType): string {
  return `${parent}/mdev_supported_types/${name}`;
}
