/**
 * The addresses of virtual functions before they are made
 * (`drivers/pci/iov.c`).
 *
 * @module
 */

import { hex } from "../../hex.ts";
import { VfioError } from "../../errors.ts";
import { formatPciAddress, parsePciAddress } from "../../pci/address.ts";
import { dirname } from "../../host/path.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { exists, ifPresent } from "../../host/sysfs.ts";
import { directoryOf } from "./target.ts";

/**
 * Computes the addresses of a function's virtual functions before they are
 * made, from its SR-IOV capability.
 *
 * @param fn The function.
 * @param count How many there will be.
 */
export function virtualAddresses(
  fn: PciFunction,
  count: number,
): string[] | undefined {
  const offset = numberAt(fn, "sriov_offset") ?? 0;
  const stride = numberAt(fn, "sriov_stride") ?? 0;
  if (offset === 0 || count > 1 && stride === 0) return undefined;
  const { domain, bus, slot, function: number } = parsePciAddress(fn.address);
  const first = (bus << 8 | slot << 3 | number) + offset;
  return Array.from({ length: count }, (_, i) => {
    const id = first + stride * i;
    return formatPciAddress({
      domain,
      bus: id >> 8,
      slot: id >> 3 & 0x1f,
      function: id & 7,
    });
  });
}

/**
 * Computes the addresses as {@linkcode virtualAddresses} does, or throws.
 *
 * @throws {VfioError} `NOT_SUPPORTED` when the hardware does not say them.
 */
export function addressesOf(fn: PciFunction, count: number): string[] {
  const addresses = virtualAddresses(fn, count);
  if (addresses === undefined) {
    throw new VfioError("NOT_SUPPORTED", {
      device: fn.address,
      problem: "the addresses of its virtual functions are not known before " +
        "they exist",
      hint: "make them first, with a state that gives only their count",
    });
  }
  return addresses;
}

/** Refuses addresses that other functions have. */
export function assertFree(
  fn: PciFunction,
  addresses: readonly string[],
): void {
  const present = new Set(fn.virtualFunctions.map(({ address }) => address));
  const index = addresses.findIndex((address) =>
    !present.has(address) && exists(fn.host.kernel, directoryOf(address))
  );
  if (index < 0) return;
  throw new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: `its virtual function ${index} would be at ${addresses[index]}, ` +
      "where another function is",
    hint: "ask for fewer, or boot with pci=assign-busses",
  });
}

/**
 * Refuses addresses on buses that the bridge does not lead to (`sriov_enable()`
 * in `drivers/pci/iov.c`).
 */
export function assertBuses(
  fn: PciFunction,
  addresses: readonly string[],
): void {
  const bridge = ifPresent(() =>
    fn.host.kernel.readFile(`${dirname(fn.path)}/subordinate_bus_number`)
  );
  // Sysfs does not say which buses a root bus leads to.
  const end = bridge === undefined ? 0xff : Number(bridge);
  const last = parseInt(addresses.at(-1)!.split(":").at(-2)!, 16);
  if (last <= end) return;
  throw new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: `its virtual function ${addresses.length - 1} would be on bus ` +
      `${hex(last, 2)}, and its bridge leads to buses up to ${hex(end, 2)}`,
    hint: "ask for fewer, or boot with pci=assign-busses",
  });
}

/** The number in an attribute, if the function has it. */
export function numberAt(fn: PciFunction, name: string): number | undefined {
  const { kernel } = fn.host;
  const text = ifPresent(() => kernel.readFile(`${fn.path}/${name}`));
  return text === undefined ? undefined : Number(text);
}
