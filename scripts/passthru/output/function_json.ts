/**
 * A PCI function in a list.
 *
 * @module
 */

import { hexDigits } from "../../../lib/hex.ts";
import { PciEvent } from "../../../lib/host/pci/event.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";

/** A function of a list, in JSON. */
export interface FunctionJson {
  /** `"0000:01:00.0"` */
  readonly address: string;
  /** Four hexadecimal digits. */
  readonly vendor: string;
  /** Four hexadecimal digits. */
  readonly device: string;
  /** Six hexadecimal digits. */
  readonly class: string;
  /** As in `pci.ids`. */
  readonly vendorName: string | null;
  /** As in `pci.ids`. */
  readonly deviceName: string | null;
  /** As in `pci.ids`, or else in the PCI specification. */
  readonly className: string | null;
  /** The driver that it is bound to. */
  readonly driver: string | null;
  /** The number of its IOMMU group. */
  readonly iommuGroup: number | null;
}

/** The names of ids, each looked up once. */
export class Names {
  readonly #known = new Map<string, string | undefined>();

  /** Returns what `find` has returned for a key, and calls it only once. */
  of(key: string, find: () => string | undefined): string | undefined {
    if (!this.#known.has(key)) this.#known.set(key, find());
    return this.#known.get(key);
  }
}

/**
 * Describes a function in JSON.
 *
 * @param fn The function.
 * @param names Keeps the names, where many functions have the same ids.
 */
export function functionJson(
  fn: PciFunction,
  names: Names = new Names(),
): FunctionJson {
  const event = new PciEvent(fn);
  const vendor = hexDigits(event.vendor, 4);
  const device = hexDigits(event.device, 4);
  const code = hexDigits(event.class, 6);
  const group = fn.iommuGroup;
  return {
    address: fn.address,
    vendor,
    device,
    class: code,
    vendorName: names.of(vendor, () => fn.vendorName) ?? null,
    deviceName: names.of(vendor + device, () => fn.deviceName) ?? null,
    className: names.of(`class ${code}`, () => fn.className) ?? null,
    driver: event.driver ?? null,
    iommuGroup: group === undefined ? null : Number(group.id),
  };
}

/**
 * Describes a function in words: `"Ethernet controller: Intel Corporation
 * 82574L"`.
 */
export function description(
  { vendor, device, className, vendorName, deviceName, class: code }:
    FunctionJson,
): string {
  const kind = className?.replace(/ \(.*\)$/, "") ??
    `class ${code.slice(0, 4)}`;
  return `${kind}: ${vendorName ?? `vendor ${vendor}`} ${
    deviceName ?? `device ${device}`
  }`;
}
