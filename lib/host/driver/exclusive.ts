/**
 * One change to a device at a time.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { HostDevice } from "../device.ts";
import type { Deadline } from "./deadline.ts";

const queues = new WeakMap<Kernel, Map<string, Promise<void>>>();

/** The right to change a device, until the change is over. */
export class Turn {
  #rest: Promise<unknown> = Promise.resolve();

  /** Keeps the turn until `work` is over too, however it ends. */
  keep(work: Promise<unknown>): void {
    this.#rest = Promise.allSettled([this.#rest, work]);
  }

  /** Settles when all the work that the turn was kept for is over. */
  get rest(): Promise<unknown> {
    return this.#rest;
  }
}

/**
 * Makes a change to a device's driver when every earlier one of this process is
 * over.
 *
 * @param device The device.
 * @param deadline How long to wait for the turn.
 * @param change What to do.
 */
export function inTurn<T>(
  device: HostDevice,
  deadline: Deadline,
  change: (turn: Turn) => Promise<T>,
): Promise<T> {
  const { name, path, host: { kernel } } = device;
  const late = () =>
    new VfioError("TIMED_OUT", {
      device: name,
      problem: "an earlier change of its driver did not end in " +
        `${deadline.timeout} ms`,
    });
  return exclusively(kernel, path, deadline, late, change);
}

/**
 * Makes a change to a device when every earlier one of this process is over.
 * Kernels before Linux 7.0 use freed memory where two writers set
 * `driver_override` at once (https://bugzilla.kernel.org/show_bug.cgi?id=220789).
 *
 * @param kernel The system that the device is on.
 * @param path The device.
 * @param deadline How long to wait for the turn.
 * @param late Makes the error for when the turn does not come in time.
 * @param change What to do.
 * @returns The result of `change`.
 */
export async function exclusively<T>(
  kernel: Kernel,
  path: string,
  deadline: Deadline,
  late: () => unknown,
  change: (turn: Turn) => Promise<T>,
): Promise<T> {
  let queue = queues.get(kernel);
  if (queue === undefined) queues.set(kernel, queue = new Map());
  const earlier = queue.get(path) ?? Promise.resolve();
  const turn = new Turn();
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const last = earlier.then(() => over);
  queue.set(path, last);
  last.then(() => {
    if (queue.get(path) === last) queue.delete(path);
  });
  try {
    await deadline.wait(earlier, late);
    return await change(turn);
  } finally {
    turn.rest.then(() => resolve());
  }
}
