/**
 * Undoing a move from driver to driver.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { lockedTogether } from "../journal/shared_lock.ts";
import { Deadline } from "../driver/deadline.ts";
import {
  type Binding,
  DriverMove,
  type DriverState,
} from "../driver/driver.ts";
import type { Turn } from "../driver/exclusive.ts";

/** A move that is to be undone. */
export interface UndoneMove {
  /** The move. */
  readonly move: DriverMove;
  /** The right to move the device. */
  readonly turn: Turn;
  /** How the device was bound. */
  readonly before: DriverState;
  /** How the move binds it. */
  readonly taken: Binding;
  /** Called once the device is bound as it was. */
  readonly onBack?: () => void;
  /** Called when the device could not be brought back. */
  readonly onLeft?: () => void;
}

/**
 * Brings a device back to how it was after an error.
 *
 * @param error The error.
 * @param undo What is undone.
 * @returns The error to throw.
 */
export async function undone(
  error: unknown,
  undo: UndoneMove,
): Promise<unknown> {
  if (restoreLater(undo)) return error;
  try {
    await restore(undo);
    return error;
  } catch (second) {
    undo.onLeft?.();
    const messages = [error, second].map((e) => (e as Error).message);
    return new VfioError(
      error instanceof VfioError ? error.code : "DRIVER_FAILED",
      {
        device: undo.move.device.name,
        problem: "its driver could neither be changed nor restored: " +
          messages.join("\n"),
        hint: undo.onLeft && "the journal has how it was: passthru restore",
        cause: new AggregateError([error, second]),
      },
    );
  }
}

/**
 * Where a write ran out of time, brings the device back to how it was once the
 * kernel is done with that write.
 *
 * @returns Whether there was one.
 */
export function restoreLater(undo: UndoneMove): boolean {
  const { move: { pending, device: { host } }, turn, onLeft } = undo;
  if (pending === undefined) return false;
  const restoring = pending.then(() =>
    lockedTogether(host.kernel, new Deadline(), () => restore(undo))
  );
  turn.keep(restoring.catch(() => onLeft?.()));
  return true;
}

// It has a time limit of its own and no signal, since the limit or the signal
// ended the change.
async function restore(
  { move: { device }, before, taken, turn, onBack }: UndoneMove,
): Promise<void> {
  const move = new DriverMove(device, new Deadline(), turn);
  await move.restore(before, taken);
  onBack?.();
}
