/**
 * What a reset of a function's bus takes.
 *
 * @module
 */

import { dirname } from "../../path.ts";
import { namesIn } from "../../sysfs.ts";
import { comparePciAddresses } from "../../../pci/address.ts";
import { PciFunction } from "../function.ts";
import { keepsBusFromReset } from "../quirks.ts";

/**
 * The functions that are reset with a function's bus or slot, itself included, by
 * address: all that is below the same bridge. VFIO's hot reset takes them.
 *
 * @param fn The function.
 * @returns The functions, or `undefined` where the kernel resets no bus: on a
 * root bus, and with {@linkcode fragileOnBus}.
 */
export function functionsOfBus(fn: PciFunction): PciFunction[] | undefined {
  const functions = onBus(fn);
  return functions?.some(keepsBusFromReset) ? undefined : functions;
}

/**
 * The function that does not come back from a reset of the bus that it is on, so
 * that the kernel does not reset it (`pci_bus_resettable()` in
 * `drivers/pci/pci.c`).
 *
 * @param fn A function on that bus.
 */
export function fragileOnBus(fn: PciFunction): PciFunction | undefined {
  return onBus(fn)?.find(keepsBusFromReset);
}

function onBus(fn: PciFunction): PciFunction[] | undefined {
  const bridge = fn.host.deviceAt(dirname(fn.path));
  if (!(bridge instanceof PciFunction)) return undefined;
  return [...functionsBelow(bridge)]
    .sort((a, b) => comparePciAddresses(a.address, b.address));
}

function* functionsBelow({ host, path }: PciFunction): Generator<PciFunction> {
  for (const name of namesIn(host.kernel, path)) {
    if (!/^[\da-f]{4,}:[\da-f]{2}:[\da-f]{2}\.[0-7]$/.test(name)) continue;
    const fn = host.deviceAt(`${path}/${name}`);
    if (!(fn instanceof PciFunction)) continue;
    yield fn;
    yield* functionsBelow(fn);
  }
}
