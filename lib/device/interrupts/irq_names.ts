/** What an index of interrupts is called. */
export type IrqName =
  /** The interrupt line of a PCI function. */
  | "intx"
  /** The messages of a PCI function, up to 32. */
  | "msi"
  /** The messages of a PCI function, up to 2048, each of its own. */
  | "msix"
  /** Errors that a PCI function reports (AER). */
  | "error"
  /** The kernel asks for the device back. */
  | "request"
  /** I/O of an s390 channel device has ended. */
  | "io"
  /** A channel report of an s390 channel device is pending. */
  | "crw"
  /** The configuration of an s390 crypto device has changed. */
  | "config";

/**
 * The names of the indexes, by what a device is used as (`VFIO_PCI_*_IRQ_INDEX`,
 * `VFIO_CCW_*_IRQ_INDEX` and `VFIO_AP_*_IRQ_INDEX`). Those of other devices
 * have no names.
 */
const NAMES: Readonly<Record<string, readonly IrqName[]>> = {
  pci: ["intx", "msi", "msix", "error", "request"],
  ccw: ["io", "crw", "request"],
  ap: ["request", "config"],
};

/**
 * Names the indexes of interrupts that a kind of device has.
 *
 * @param api What the device is used as.
 */
export function irqNames(api: string | undefined): readonly IrqName[] {
  return NAMES[api ?? ""] ?? [];
}

/** Whether only one of a device's indexes can be in use, and this is of them. */
export function excludesOthers(name: string): boolean {
  return name === "intx" || name === "msi" || name === "msix";
}
