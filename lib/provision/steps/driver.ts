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
    const change = driver === null
      ? { driver: undefined, override: before.override }
      : { driver, override: driver };
    await bringBack(work, fn, before, change);
  },
};

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
