/**
 * Resets of a device by the kernel.
 *
 * @module
 */

import { whileLocked as untilUnlocked } from "../../../backends/locked.ts";
import { toVfioError, VfioError } from "../../errors.ts";
import { PciFunction } from "../../host/pci/function.ts";
import { withResetMethod } from "../../host/pci/reset_method.ts";
import { VFIO_DEVICE_RESET } from "../../uapi/vfio/device.ts";
import type { RegisterClosure } from "../regions/register_gate.ts";
import type { ResetTarget } from "./reset_target.ts";

/** How a device is reset. */
export interface ResetOptions {
  /**
   * The only method that the kernel may use, one of
   * `PciFunction.resetMethods`: `"flr"`, `"pm"`, `"bus"` and so on. It is
   * written to the function's `reset_method` in sysfs, which needs root, and set
   * back after the reset. A process that is killed meanwhile leaves it there.
   *
   * Default: the methods that are there, the preferred first.
   */
  readonly method?: string;
}

/** Why registers are closed meanwhile. */
export const RESETTING: RegisterClosure = {
  problem: "it is being reset",
  hint: "wait until the reset has ended",
};

/**
 * Resets a device: `VfioDevice.reset`.
 *
 * @param target What resets it.
 * @param options The method.
 */
export async function resetDevice(
  target: ResetTarget,
  { method }: ResetOptions,
): Promise<void> {
  const { device: { name, hostDevice, info }, gate, turns } = target;
  target.handle();
  if (!info.resettable) throw notResettable(name);
  const turn = turns.take();
  using _turn = turn instanceof Promise ? await turn : turn;
  // It may have been detached meanwhile.
  target.handle();
  using _closed = gate.close(RESETTING);
  const reset = () =>
    whileLocked(
      name,
      "reset",
      () => target.handle().ioctlAsync(VFIO_DEVICE_RESET),
    );
  if (method === undefined) return await reset();
  if (hostDevice instanceof PciFunction) {
    return await withResetMethod(hostDevice, method, reset);
  }
  throw new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: "it is no PCI function, whose reset method can be chosen",
    hint: "reset it without a method",
  });
}

function notResettable(device: string): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device,
    problem: "the kernel has no method to reset it alone",
    hint: "device.hotReset.affected() tells what would be reset with it; its " +
      "reset_method in sysfs lists the methods of a PCI function",
  });
}

/**
 * Tries a reset until nothing else keeps a device locked.
 *
 * @param device Its name, for errors.
 * @param doing What is done: "reset".
 * @param reset The reset.
 * @throws {VfioError} `DEVICE_BUSY`, or `KERNEL`.
 */
export async function whileLocked(
  device: string,
  doing: string,
  reset: () => Promise<unknown>,
): Promise<void> {
  try {
    await untilUnlocked(device, doing, reset, "EAGAIN", "EBUSY");
  } catch (error) {
    throw toVfioError(error, doing, device);
  }
}
