import type { HostDevice } from "../device.ts";
import { incomplete, readAttribute, sysfsError } from "../sysfs.ts";

/**
 * What the `uevent` of a function says, `pci_uevent()` in
 * `drivers/pci/pci-driver.c`. Reading this one file in place of seven makes
 * listing a thousand functions fast.
 */
export class PciEvent {
  readonly #device: HostDevice;
  readonly #text: string;

  /**
   * Reads it.
   *
   * @param device The function.
   * @throws {VfioError} `DEVICE_NOT_FOUND` when it was removed.
   */
  constructor(device: HostDevice) {
    this.#device = device;
    const { host: { kernel }, name } = device;
    this.#text = readAttribute(kernel, pathOf(device), name);
  }

  /** Vendor id. */
  get vendor(): number {
    return parseInt(this.#value("PCI_ID"), 16);
  }

  /** Device id. */
  get device(): number {
    return parseSecond(this.#value("PCI_ID"));
  }

  /** Subsystem vendor id. */
  get subsystemVendor(): number {
    return parseInt(this.#value("PCI_SUBSYS_ID"), 16);
  }

  /** Subsystem id. */
  get subsystemDevice(): number {
    return parseSecond(this.#value("PCI_SUBSYS_ID"));
  }

  /** The 24 bits of the class register. */
  get class(): number {
    return parseInt(this.#value("PCI_CLASS"), 16);
  }

  /** What modules are matched with. */
  get modalias(): string {
    return this.#value("MODALIAS");
  }

  /** The driver that it was bound to when this was read. */
  get driver(): string | undefined {
    return this.#find("DRIVER");
  }

  #value(key: string): string {
    const value = this.#find(key);
    if (value !== undefined) return value;
    throw sysfsError(incomplete(pathOf(this.#device)), this.#device.name);
  }

  #find(key: string): string | undefined {
    const line = `${key}=`;
    const text = this.#text;
    let at = 0;
    while (!text.startsWith(line, at)) {
      at = text.indexOf("\n", at) + 1;
      if (at === 0) return undefined;
    }
    const start = at + line.length;
    const end = text.indexOf("\n", start);
    return text.slice(start, end < 0 ? undefined : end);
  }
}

function pathOf({ path }: HostDevice): string {
  return `${path}/uevent`;
}

/** Parses the second id of a pair: `8086:10D3`. */
function parseSecond(pair: string): number {
  return parseInt(pair.slice(pair.indexOf(":") + 1), 16);
}
