/**
 * Functions whose faults the kernel knows, and what it does not do with them
 * (`drivers/pci/quirks.c` of Linux 7.3).
 *
 * @module
 */

import type { PciFunction } from "./function.ts";

/** A function, as far as its identity matters. */
type Identity = Pick<PciFunction, "vendor" | "device">;

/** Device ids by vendor. */
type Table = Readonly<Record<number, readonly number[]>>;

const ATI = 0x1002;
const REALTEK = 0x10ec;
const NVIDIA = 0x10de;
const MELLANOX = 0x15b3;
const INTEL = 0x8086;

/** They do not come back from a reset of their bus: `quirk_no_bus_reset()`. */
const NO_BUS_RESET: Table = {
  [NVIDIA]: [0x22ce, 0x22d0],
  0x104c: [0xb005],
  0x168c: [0x0030, 0x0032, 0x0033, 0x0034, 0x003c, 0x003e],
  0x177d: [0xa100],
  0x17cb: [0x0308, 0x1103, 0x1107],
  0x1b21: [0x1164],
};

/** They hang in a function-level reset: `quirk_no_flr()`. */
const NO_FUNCTION_RESET: Table = {
  0x1022: [0x1487, 0x148c, 0x149c, 0x7901, 0x1502, 0x17f0],
  [INTEL]: [0x1502, 0x1503],
  0x14c3: [0x0616, 0x7925],
};

/**
 * Their INTx cannot be masked: `quirk_broken_intx_masking()` and
 * `mellanox_broken_intx_devs`.
 */
const INTX_NOT_MASKED: Table = {
  0x1102: [0x000b],
  0x1425: [0x0030],
  0x1814: [0x0601],
  0x1b7c: [0x0004],
  [REALTEK]: [0x8169],
  [MELLANOX]: [
    ...[0x6340, 0x634a, 0x6354, 0x6732, 0x673c, 0x6368, 0x6750, 0x6372],
    ...[0x675a, 0x6764, 0x6746, 0x676e, 0x1003, 0x1007],
  ],
  [INTEL]: [
    ...[0x1572, 0x1574, 0x1580, 0x1581, 0x1583, 0x1584, 0x1585, 0x1586],
    ...[0x1587, 0x1588, 0x1589, 0x158a, 0x158b, 0x37d0, 0x37d1, 0x37d2],
  ],
};

/** Their MSI does not work: `quirk_no_msi()`. */
const NO_MSI: Table = {
  [ATI]: [0x4386, 0x4387, 0x4388, 0x4389, 0x438a, 0x438b],
  0x10b9: [0x5239],
};

/** With these, no MSI works: `quirk_disable_all_msi()`. */
const NO_MSI_AT_ALL: Table = {
  0x1166: [0x0017],
  0x144d: [0xa5e3],
  [ATI]: [0x5a33, 0x5950],
  0x1106: [0x0336, 0x0351, 0x0364, 0x0204],
  0x1039: [0x0761],
};

function has(table: Table, { vendor, device }: Identity): boolean {
  return table[vendor]?.includes(device) ?? false;
}

/** Whether the kernel never resets the bus that a function is on. */
export function keepsBusFromReset(fn: Identity): boolean {
  // quirk_nvidia_no_bus_reset()
  return has(NO_BUS_RESET, fn) ||
    fn.vendor === NVIDIA && (fn.device & 0xffc0) === 0x2340;
}

/** Whether the kernel does no function-level reset though it could. */
export function hangsInReset(fn: Identity): boolean {
  return has(NO_FUNCTION_RESET, fn);
}

/** Whether a function's INTx cannot be masked at the function. */
export function cannotMaskIntx(fn: Identity): boolean {
  return has(INTX_NOT_MASKED, fn);
}

/** Whether a function's MSI is off. */
export function hasNoMsi(fn: Identity): boolean {
  return has(NO_MSI, fn);
}

/** Whether a function is a part of a chip set without MSI. */
export function switchesMsiOff(fn: Identity): boolean {
  return has(NO_MSI_AT_ALL, fn);
}
