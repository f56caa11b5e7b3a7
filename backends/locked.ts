import { VfioError } from "../lib/errors.ts";
import { hasErrno } from "../lib/kernel/errno.ts";

/** How often a call is made while the device is locked, and the pause. */
const TRIES = 50;
const PAUSE_MS = 20;

/**
 * Makes a call until nothing else keeps a device locked, as somebody who writes
 * its sysfs attributes does, and the kernel while it resets a link after an
 * error. It did nothing when it answers so (`pci_try_reset_function()` in
 * `drivers/pci/pci.c`).
 *
 * @param device The device's name, for errors.
 * @param doing What is done: "reset".
 * @param call The call.
 * @param locked The errnos that say so.
 * @returns What the call returns.
 * @throws {VfioError} `DEVICE_BUSY` when it stays locked for a second.
 */
export async function whileLocked<T>(
  device: string,
  doing: string,
  call: () => Promise<T>,
  ...locked: string[]
): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!hasErrno(error, ...locked)) throw error;
      if (tries === TRIES) throw stillLocked(device, doing, error);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function stillLocked(
  device: string,
  doing: string,
  cause: unknown,
): VfioError {
  return new VfioError("DEVICE_BUSY", {
    device,
    problem: `cannot ${doing}: something else keeps the device locked`,
    hint: "try again once its sysfs attributes are no longer being written",
    cause,
  });
}
