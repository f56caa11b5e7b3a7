import type { Driver } from "./bus.ts";
import type { DriverRecording } from "../../host/snapshot/recording.ts";

/** What is known of drivers, where it differs from what is usual. */
const KNOWN: Readonly<Record<string, DriverRecording>> = {
  "nvme": { ids: ["class:010802"], virtualFunctions: "kept" },
  "pci-stub": { dma: "none", virtualFunctions: "kept" },
  "pcieport": { ids: ["class:060400"], dma: "none" },
};

/**
 * A driver.
 *
 * @param bus The bus it is for.
 * @param name Its name.
 * @param topology What a topology says of it.
 * @param ids More that it takes by itself.
 * @param sriov Whether one of its functions can have virtual functions.
 */
export function makeDriver(
  bus: string,
  name: string,
  topology: DriverRecording = {},
  ids: Iterable<string> = [],
  sriov = false,
): Driver {
  const known = { ...KNOWN[name], ...topology };
  const vfio = /(?:^|[-_])vfio(?:[-_]|$)/.test(name);
  const { dma = vfio ? "user" : "kernel", bindable = true } = known;
  return {
    name,
    bus,
    // A VFIO driver takes what it is told to take, and nothing by itself.
    ids: new Set(dma === "user" ? known.ids : [...known.ids ?? [], ...ids]),
    dma,
    virtualFunctions: known.virtualFunctions ??
      (sriov || dma === "user" ? "removed" : undefined),
    bindable,
  };
}
