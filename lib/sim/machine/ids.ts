import { shortJson } from "../../printable.ts";

/**
 * Parses a vendor and a device: `"8086:10d3"`.
 *
 * @param address The function that has them.
 * @param id The text.
 * @throws {TypeError} When it is something else.
 */
export function parseId(address: string, id: string): [number, number] {
  const match = /^([0-9a-f]{4}):([0-9a-f]{4})$/i.exec(id);
  if (match === null) {
    throw new TypeError(
      `Cannot simulate ${address}: expected an id such as "8086:10d3", ` +
        `not ${shortJson(id)}`,
    );
  }
  return [parseInt(match[1]!, 16), parseInt(match[2]!, 16)];
}
