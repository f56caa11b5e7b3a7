import { shortJson } from "../../printable.ts";
import { hexDigits } from "../../hex.ts";

/** The address of a function, as requests carry it. */
export interface RoutingId {
  /** The domain. */
  readonly domain: number;
  /** Bus, slot and function in 16 bits. */
  readonly id: number;
}

/**
 * Parses a PCI address.
 *
 * @param text `0000:01:00.0`.
 * @throws {TypeError} When it is no PCI address, or not as sysfs writes it.
 */
export function parseAddress(text: string): RoutingId {
  const match = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/
    .exec(text);
  if (match === null) {
    throw new TypeError(
      `Cannot parse PCI address ${shortJson(text)}: ` +
        'expected one such as "0000:01:00.0"',
    );
  }
  const [domain = 0, bus = 0, slot = 0, fn = 0] = match.slice(1)
    .map((digits) => parseInt(digits, 16));
  return { domain, id: bus << 8 | slot << 3 | fn };
}

/** Writes a PCI address as sysfs does. */
export function formatAddress({ domain, id }: RoutingId): string {
  const slot = hexDigits(id >> 3 & 0x1f, 2);
  return `${busName({ domain, id })}:${slot}.${id & 7}`;
}

/** Returns the domain and bus of a function: `0000:01`. */
export function busName({ domain, id }: RoutingId): string {
  return `${hexDigits(domain, 4)}:${hexDigits(id >> 8, 2)}`;
}
