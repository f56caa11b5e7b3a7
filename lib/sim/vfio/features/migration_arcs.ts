import {
  VFIO_DEVICE_STATE_ERROR as ERROR,
  VFIO_DEVICE_STATE_PRE_COPY as PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P as PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING as RESUMING,
  VFIO_DEVICE_STATE_RUNNING as RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P as RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP as STOP,
  VFIO_DEVICE_STATE_STOP_COPY as STOP_COPY,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
} from "../../../uapi/vfio/migration.ts";
import { refuse } from "../../process/refusal.ts";

/**
 * The next state on the way, by the present one and by the wanted one, in the
 * order of their numbers: ERROR, STOP, RUNNING, STOP_COPY, RESUMING,
 * RUNNING_P2P, PRE_COPY, PRE_COPY_P2P.
 */
// deno-fmt-ignore
const NEXT: readonly (readonly number[])[] = [
  [ERROR, ERROR, ERROR, ERROR, ERROR, ERROR, ERROR, ERROR],
  [ERROR, STOP, RUNNING_P2P, STOP_COPY, RESUMING, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P],
  [ERROR, RUNNING_P2P, RUNNING, RUNNING_P2P, RUNNING_P2P, RUNNING_P2P, PRE_COPY, RUNNING_P2P],
  [ERROR, STOP, STOP, STOP_COPY, STOP, STOP, ERROR, ERROR],
  [ERROR, STOP, STOP, STOP, RESUMING, STOP, STOP, STOP],
  [ERROR, STOP, RUNNING, STOP, STOP, RUNNING_P2P, RUNNING, PRE_COPY_P2P],
  [ERROR, RUNNING, RUNNING, PRE_COPY_P2P, RUNNING, RUNNING, PRE_COPY, PRE_COPY_P2P],
  [ERROR, RUNNING_P2P, RUNNING_P2P, STOP_COPY, RUNNING_P2P, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P],
];

/** The `VFIO_MIGRATION_*` bits that a state needs, by its number. */
const NEEDED: readonly number[] = [
  0,
  0,
  0,
  0,
  0,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_PRE_COPY | VFIO_MIGRATION_P2P,
];

/**
 * Returns the next state on the way to another one
 * (`vfio_mig_get_next_state()` in `drivers/vfio/vfio_main.c`). EINVAL where
 * there is no way.
 *
 * @param from The present state.
 * @param to The wanted state.
 * @param flags The `VFIO_MIGRATION_*` bits of the device.
 */
export function nextState(from: number, to: number, flags: number): number {
  const supported = (state: number) => (NEEDED[state]! & ~flags) === 0;
  if (to >= NEXT.length || !supported(to)) refuse("EINVAL");
  let next = NEXT[from]![to]!;
  while (next !== ERROR && !supported(next)) next = NEXT[next]![to]!;
  return next === ERROR ? refuse("EINVAL") : next;
}
