/**
 * Parses and writes PCI addresses, as people and sysfs write them.
 *
 * @module
 */

import { shortJson } from "../printable.ts";
import { hexDigits } from "../hex.ts";

/** The address of a function: `DDDD:BB:SS.F`. */
export interface PciAddress {
  /**
   * The domain, also called segment: 16 bits; more for domains made by drivers.
   */
  readonly domain: number;
  /** The bus, 0 to 255. */
  readonly bus: number;
  /** The slot, also called device, 0 to 31. */
  readonly slot: number;
  /** The function, 0 to 7. */
  readonly function: number;
}

// Drivers such as Intel's VMD make domains with more than four digits:
// pci_setup_device() prints them with "%04x".
const PATTERN = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/**
 * Parses a PCI address.
 *
 * @param text `0000:01:00.0`, or `01:00.0` in domain 0; upper or lower case.
 * @throws {TypeError} When it is no PCI address.
 */
export function parsePciAddress(text: string): PciAddress {
  const match = typeof text === "string" ? PATTERN.exec(text) : null;
  if (match === null) {
    throw new TypeError(
      `Cannot parse PCI address ${shortJson(text)}: ` +
        `expected "0000:01:00.0" or "01:00.0"`,
    );
  }
  const [, domain = "0", bus = "", slot = "", fn = ""] = match;
  return {
    domain: parseInt(domain, 16),
    bus: parseInt(bus, 16),
    slot: parseInt(slot, 16),
    function: parseInt(fn, 16),
  };
}

/**
 * Writes a PCI address as sysfs does: `0000:01:00.0`.
 *
 * @param address Its parts.
 */
export function formatPciAddress(address: PciAddress): string {
  return `${hexDigits(address.domain, 4)}:${hexDigits(address.bus, 2)}:${
    hexDigits(address.slot, 2)
  }.${address.function}`;
}

/**
 * Compares addresses by domain and bus, for `Array.prototype.sort`.
 *
 * @param a An address as sysfs writes it.
 * @param b Another.
 */
export function comparePciAddresses(a: string, b: string): number {
  // All parts but the domain have a fixed width. A domain of more than four
  // digits has no leading zeros.
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
