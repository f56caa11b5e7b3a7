/**
 * Refuses virtual functions that cannot be made (`drivers/pci/iov.c`).
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import {
  insteadOfDriver,
  moreVirtual,
  virtualLimit,
} from "../../host/pci/virtual/limits.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import {
  NO_ROOM_FOR_VIRTUAL,
  virtualBarsWithoutRoom,
} from "../../host/pci/virtual/functions.ts";
import {
  explainUnreachable,
  numberAt,
  virtualAddresses,
} from "../../host/pci/virtual/addresses.ts";
import { exists, ifPresent } from "../../host/sysfs.ts";
import { counted } from "../../text.ts";
import { directoryOf } from "./target.ts";

/** The driver that is to make the virtual functions. */
export function driverAfter(
  fn: PciFunction,
  wanted: string | null | undefined,
): string | undefined {
  return wanted === undefined ? fn.driver : wanted ?? undefined;
}

/** Refuses more virtual functions than the hardware and the driver can have. */
export function assertPossible(
  fn: PciFunction,
  count: number,
  driver: string | undefined,
): void {
  const total = numberAt(fn, "sriov_totalvfs");
  if (count === 0) return;
  if (total === undefined) {
    throw new VfioError("NOT_SUPPORTED", {
      device: fn.address,
      problem: "it can have no virtual functions",
      hint: fn.physicalFunction === undefined
        ? "it has no SR-IOV capability: some have it switched off in the " +
          "card's or the machine's firmware"
        : "it is a virtual function itself",
    });
  }
  const limit = virtualLimit(driver);
  const most = Math.min(total, limit);
  if (count <= most) return;
  throw new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: `it can have ${counted(most, "virtual function")}` +
      (most === limit ? ` with the driver ${driver}` : "") +
      `, and ${count} are wanted`,
    hint: most === limit
      ? "no setting of the driver changes that"
      : moreVirtual(driver),
  });
}

/** Refuses to make virtual functions without a driver that can make them. */
export function assertMaker(fn: PciFunction, driver: string | undefined): void {
  if (driver === undefined) {
    throw new VfioError("DRIVER_FAILED", {
      device: fn.address,
      problem: "no driver has it, and only its driver makes virtual functions",
      hint: "give it the host's driver",
    });
  }
  const instead = insteadOfDriver(driver);
  if (instead !== undefined) {
    throw new VfioError("DRIVER_FAILED", {
      device: fn.address,
      problem: `${driver} makes no virtual functions when it is asked to`,
      hint: instead,
    });
  }
  const parameter = "/sys/module/vfio_pci/parameters/enable_sriov";
  const { kernel } = fn.host;
  const canMake = driver !== "vfio-pci" ||
    ifPresent(() => kernel.readFile(parameter))?.trim() === "Y";
  if (canMake) return;
  throw new VfioError("DRIVER_FAILED", {
    device: fn.address,
    problem: "vfio-pci makes virtual functions only with enable_sriov",
    hint: `give it the host's driver, or: echo Y > ${parameter}`,
  });
}

/**
 * Refuses virtual functions for which there is no room: no addresses for their
 * BARs, or no bus numbers.
 */
export function assertRoom(fn: PciFunction, count: number): void {
  if (virtualBarsWithoutRoom(fn).length > 0) {
    throw new VfioError("NOT_SUPPORTED", {
      device: fn.address,
      ...NO_ROOM_FOR_VIRTUAL,
    });
  }
  assertReached(fn, count);
  const addresses = virtualAddresses(fn, count);
  if (addresses !== undefined) assertFree(fn, addresses);
}

/** Refuses addresses that the bridge above does not lead to. */
function assertReached(fn: PciFunction, count: number): void {
  const explanation = explainUnreachable(fn, count);
  if (explanation === undefined) return;
  const { problem, hint } = explanation;
  throw new VfioError("NOT_SUPPORTED", { device: fn.address, problem, hint });
}

/** Refuses addresses that other functions have. */
function assertFree(
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
 * Computes the addresses of virtual functions before they are made, or throws.
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
