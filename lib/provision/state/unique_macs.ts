/**
 * Checks that no two virtual functions get one MAC address.
 *
 * @module
 */

import { mismatch } from "../../rule.ts";
import type { DesiredState } from "./state.ts";

/**
 * Checks the MAC addresses of all virtual functions of a state. Two devices
 * with one address on a network cut each other off.
 *
 * @param state The state.
 * @throws {TypeError} When an address is there twice.
 */
export function assertUniqueMacs({ functions = [] }: DesiredState): void {
  const owners = new Map<string, string>();
  for (const [i, { virtualFunctions }] of functions.entries()) {
    const overrides = virtualFunctions?.overrides ?? {};
    for (const [index, { mac }] of Object.entries(overrides)) {
      if (mac === undefined) continue;
      const at = `functions[${i}].virtualFunctions.overrides["${index}"].mac`;
      const owner = owners.get(mac.toLowerCase());
      if (owner !== undefined) {
        throw mismatch(at, `another MAC address than that of ${owner}`, mac);
      }
      owners.set(mac.toLowerCase(), at.slice(0, -".mac".length));
    }
  }
}
