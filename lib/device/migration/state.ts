/**
 * The states of a device that can migrate.
 *
 * @module
 */

import {
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
} from "../../uapi/vfio/migration.ts";

/**
 * A state of a device that can migrate:
 *
 * - `running`: it works as usual
 * - `running-p2p`: it works, and starts no DMA to other devices
 * - `pre-copy`, `pre-copy-p2p`: the same two, and its state can be read already
 * - `stop`: it neither changes its state nor anything outside
 * - `stop-copy`: stopped, and its state can be read
 * - `resuming`: stopped, and a state can be written into it
 * - `error`: it failed, and only a reset leads out
 */
export type MigrationState =
  | "error"
  | "stop"
  | "running"
  | "stop-copy"
  | "resuming"
  | "running-p2p"
  | "pre-copy"
  | "pre-copy-p2p";

const NUMBERS: Readonly<Record<MigrationState, number>> = {
  "error": VFIO_DEVICE_STATE_ERROR,
  "stop": VFIO_DEVICE_STATE_STOP,
  "running": VFIO_DEVICE_STATE_RUNNING,
  "stop-copy": VFIO_DEVICE_STATE_STOP_COPY,
  "resuming": VFIO_DEVICE_STATE_RESUMING,
  "running-p2p": VFIO_DEVICE_STATE_RUNNING_P2P,
  "pre-copy": VFIO_DEVICE_STATE_PRE_COPY,
  "pre-copy-p2p": VFIO_DEVICE_STATE_PRE_COPY_P2P,
};

const NAMES = new Map(
  Object.entries(NUMBERS)
    .map(([name, number]) => [number, name as MigrationState]),
);

/**
 * Returns the kernel's number of a state.
 *
 * @param state Its name.
 * @throws {TypeError} If there is no such state.
 */
export function stateNumber(state: MigrationState): number {
  if (Object.hasOwn(NUMBERS, state)) return NUMBERS[state];
  throw new TypeError(
    `Cannot find the migration state "${state}": expected ` +
      Object.keys(NUMBERS).map((name) => `"${name}"`).join(", "),
  );
}

/**
 * Returns the name of a state. What a newer kernel may add is an error here.
 *
 * @param number The kernel's number.
 */
export function stateName(number: number): MigrationState {
  return NAMES.get(number) ?? "error";
}

/** Whether a device is about to be saved before it is stopped. */
export function isPreCopy(state: MigrationState): boolean {
  return state === "pre-copy" || state === "pre-copy-p2p";
}

/** Whether a state has a file of the device's data. */
export function hasData(state: MigrationState): boolean {
  return isPreCopy(state) || state === "stop-copy" || state === "resuming";
}
