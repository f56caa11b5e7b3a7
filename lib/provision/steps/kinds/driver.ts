/**
 * Steps that change the driver of a device.
 *
 * @module
 */

import {
  type Binding,
  DriverMove,
  type DriverState,
  readDriverState,
} from "../../../host/driver/driver.ts";
import { VfioError } from "../../../errors.ts";
import type { HostDevice } from "../../../host/device.ts";
import { untilNodesAppear } from "../../../host/driver/appear.ts";
import { refuseHopeless } from "../../../host/driver/bindable.ts";
import { inTurn } from "../../../host/driver/exclusive.ts";
import type { Host } from "../../../host/host.ts";
import { openersText, writers } from "../../../host/openers.ts";
import { deviceIfThere } from "../functions.ts";
import type { DriverStep } from "../step.ts";
import type { StepKind, Work } from "../kind.ts";

/** Steps that move a device to a driver. They capture how it was bound. */
export const driverKind: StepKind<DriverStep, DriverState> = {
  holds({ host }, step) {
    const { driver } = deviceOf(host, step);
    return Promise.resolve(driver === (step.driver ?? undefined));
  },

  async capture({ host, deadline }, step) {
    return await readDriverState(deviceOf(host, step), deadline);
  },

  async make({ host, deadline }, step, before) {
    const { driver } = step;
    const device = deviceOf(host, step);
    await inTurn(device, deadline, async (turn) => {
      if (driver !== null) refuseHopeless(device, driver);
      const move = new DriverMove(device, deadline, turn);
      await move.change(before, driver ?? undefined);
      if (driver !== null) await untilNodesAppear(device, driver, deadline);
    });
  },

  async undo(work, step, before) {
    const { driver } = step;
    const device = deviceIfThere(work.host, step);
    if (device === undefined) return;
    await settled(work, device, before.driver);
    const change = driver === null
      ? { driver: undefined, override: before.override }
      : { driver, override: driver };
    await bringBack(work, device, before, change);
  },
};

function deviceOf(host: Host, step: DriverStep): HostDevice {
  const { device, bus = "pci" } = step;
  return bus === "pci"
    ? host.function(device)
    : host.find(`/sys/bus/${bus}/devices/${device}`);
}

/**
 * Waits until no process unbinds devices from the driver that a device had.
 * Where the apply was killed, or gave up, its write may still hang in the
 * kernel: the device has its old driver then, and will lose it when the write
 * is over.
 */
async function settled(
  { deadline }: Work,
  { name, bus, driver: now, host: { kernel } }: HostDevice,
  driver: string | undefined,
): Promise<void> {
  if (driver === undefined || now !== driver) return;
  const path = `/sys/bus/${bus}/drivers/${driver}/unbind`;
  await deadline.until(
    () => writers(kernel, (written) => written === path)[0] ? undefined : true,
    () =>
      new VfioError("TIMED_OUT", {
        device: name,
        problem: `${
          openersText(writers(kernel, (written) => written === path))
        } still writes to ${path}, so ${driver} may let it go later`,
        hint: "restore again once that is over",
      }),
  );
}

/**
 * Restores how a device was bound.
 *
 * @param work The host and the deadline.
 * @param device The device.
 * @param before How it was bound.
 * @param change How the change to undo binds it.
 */
export async function bringBack(
  { deadline }: Work,
  device: HostDevice,
  before: DriverState,
  change: Binding,
): Promise<void> {
  await inTurn(
    device,
    deadline,
    (turn) => new DriverMove(device, deadline, turn).restore(before, change),
  );
}
