import type { Driver } from "./bus.ts";
import { insteadOfDriver } from "../../host/pci/virtual/limits.ts";
import type { DriverRecording } from "../../host/snapshot/recording.ts";

/** The properties of known drivers that differ from the default. */
const KNOWN: Readonly<Record<string, DriverRecording>> = {
  "nvme": { ids: ["class:010802"], virtualFunctions: "kept" },
  "pci-stub": { dma: "none" },
  "pcieport": { ids: ["class:060400"], dma: "none" },
};

/**
 * Makes a driver.
 *
 * @param bus The bus of its devices.
 * @param name Its name.
 * @param topology Its properties in a topology.
 * @param ids Further ids that it binds by itself.
 * @param sriov Whether one of its functions can have virtual functions.
 */
export function makeDriver(
  bus: string,
  name: string,
  topology: DriverRecording = {},
  ids: Iterable<string> = [],
  sriov = false,
): Driver {
  const properties = { ...KNOWN[name], ...topology };
  const vfio = /(?:^|[-_])vfio(?:[-_]|$)/.test(name);
  const { dma = vfio ? "user" : "kernel", bindable = true } = properties;
  const makesNone = insteadOfDriver(name) !== undefined;
  const { virtualFunctions = makesNone ? "none" : undefined } = properties;
  return {
    name,
    bus,
    // A VFIO driver binds no device by itself, only those that it is given.
    ids: new Set(
      dma === "user" ? properties.ids : [...properties.ids ?? [], ...ids],
    ),
    dma,
    virtualFunctions: virtualFunctions === "none"
      ? undefined
      : virtualFunctions ?? (sriov || dma === "user" ? "removed" : undefined),
    bindable,
  };
}
