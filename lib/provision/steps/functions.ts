/**
 * Looks up functions that may not exist any more.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import type { PciFunction } from "../../host/pci/function.ts";

/**
 * Returns the function at an address, or `undefined` where there is none.
 *
 * @param host The host.
 * @param address Its address.
 */
export function functionIfThere(
  host: Host,
  address: string,
): PciFunction | undefined {
  try {
    return host.function(address);
  } catch (error) {
    const isGone = error instanceof VfioError &&
      error.code === "DEVICE_NOT_FOUND";
    if (isGone) return undefined;
    throw error;
  }
}
