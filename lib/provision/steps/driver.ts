/**
 * Steps that change the driver of a function.
 *
 * @module
 */

import {
  type Binding,
  DriverMove,
  type DriverState,
  readDriverState,
} from "../../host/driver/driver.ts";
import { VfioError } from "../../errors.ts";
import { openersText, writers } from "../../host/openers.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { inTurn, nodesOf, refuseHopeless } from "../../host/driver/take.ts";
import { functionIfThere } from "./functions.ts";
import type { DriverStep } from "./step.ts";
import type { StepKind, Work } from "./kind.ts";

/** Steps that move a function to a driver. They capture how it was bound. */
export const driverKind: StepKind<DriverStep, DriverState> = {
  holds({ host }, { device, driver }) {
    return Promise.resolve(
      host.function(device).driver === (driver ?? undefined),
    );
  },

  async capture({ host, deadline }, { device }) {
    return await readDriverState(host.function(device), deadline);
  },

  async make({ host, deadline }, { device, driver }, before) {
    const fn = host.function(device);
    await inTurn(fn, deadline, async (turn) => {
      if (driver !== null) refuseHopeless(fn, driver);
      const move = new DriverMove(fn, deadline, turn);
      await move.change(before, driver ?? undefined);
      if (driver !== null) await nodesOf(fn, driver, deadline);
    });
  },

  async undo(work, { device, driver }, before) {
    const fn = functionIfThere(work.host, device);
    if (fn === undefined) return;
    await settled(work, fn, before.driver);
    const change = driver === null
      ? { driver: undefined, override: before.override }
      : { driver, override: driver };
    await bringBack(work, fn, before, change);
  },
};

/**
 * Waits until no process unbinds devices from the driver that a function had.
 * Where the apply was killed, or gave up, its write may still hang in the
 * kernel: the function has its old driver then, and will lose it when the write
 * is over.
 */
async function settled(
  { deadline }: Work,
  fn: PciFunction,
  driver: string | undefined,
): Promise<void> {
  if (driver === undefined || fn.driver !== driver) return;
  const { address, host: { kernel } } = fn;
  const path = `/sys/bus/pci/drivers/${driver}/unbind`;
  await deadline.until(
    () => writers(kernel, (written) => written === path)[0] ? undefined : true,
    () =>
      new VfioError("TIMED_OUT", {
        device: address,
        problem: `${
          openersText(writers(kernel, (written) => written === path))
        } still writes to ${path}, so ${driver} may let it go later`,
        hint: "restore again once that is over",
      }),
  );
}

/**
 * Restores how a function was bound.
 *
 * @param work The host and the deadline.
 * @param fn The function.
 * @param before How it was bound.
 * @param change How the change to undo binds it.
 */
export async function bringBack(
  { deadline }: Work,
  fn: PciFunction,
  before: DriverState,
  change: Binding,
): Promise<void> {
  await inTurn(
    fn,
    deadline,
    (turn) => new DriverMove(fn, deadline, turn).restore(before, change),
  );
}
