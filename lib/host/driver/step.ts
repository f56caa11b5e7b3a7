/**
 * The change that a move from driver to driver is, in a journal.
 *
 * @module
 */

/** Moves a device to a driver. */
export interface DriverStep {
  /** The kind of change. */
  readonly kind: "driver";
  /** The device's name; for a PCI function its address. */
  readonly device: string;
  /** The bus that it is on. Default: `"pci"`. */
  readonly bus?: string;
  /** The driver; `null` for none. */
  readonly driver: string | null;
  /** The reason, as a clause. */
  readonly why: string;
}

/** Names in sysfs. */
const NAME = /^(?!\.{1,2}$)[^/\0]+$/;

/** Recognizes such a step that was read from a file. */
export function isDriverStep(value: unknown): value is DriverStep {
  if (typeof value !== "object" || value === null) return false;
  const { kind, device, bus = "pci", driver } = value as Record<
    string,
    unknown
  >;
  return kind === "driver" && isName(device) && isName(bus) &&
    (driver === null || isName(driver));
}

function isName(value: unknown): boolean {
  return typeof value === "string" && NAME.test(value);
}
