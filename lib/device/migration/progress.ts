import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import {
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_precopy_info,
  VFIO_PRECOPY_INFO_REINIT,
} from "../../uapi/vfio/migration.ts";
import type { Stepper } from "./stepper.ts";

/** What a device in a pre-copy state has still to give, estimated. */
export interface PrecopyInfo {
  /**
   * Bytes of the data without which the other side cannot start quickly. It is
   * worth stopping the device once they are 0.
   */
  readonly initialBytes: number;
  /** Bytes that have changed since they were read, or were never read. */
  readonly dirtyBytes: number;
  /**
   * Whether there is new initial data, as after a change of the device's
   * configuration. Linux 7.3 and later tell.
   */
  readonly reinitialized: boolean;
}

/**
 * Asks a device in a pre-copy state what it has still to give.
 *
 * @param stepper The device.
 */
export async function precopyInfo(stepper: Stepper): Promise<PrecopyInfo> {
  const argument = vfio_precopy_info.alloc();
  try {
    await stepper.data.ioctlAsync(VFIO_MIG_GET_PRECOPY_INFO, argument);
  } catch (error) {
    throw stepper.explain(error, "ask what it has still to give");
  }
  const { flags, initial_bytes, dirty_bytes } = vfio_precopy_info
    .decode(argument);
  return {
    initialBytes: Number(initial_bytes),
    dirtyBytes: Number(dirty_bytes),
    reinitialized: (flags & VFIO_PRECOPY_INFO_REINIT) !== 0,
  };
}

/**
 * Reads from the file of a device's data.
 *
 * @param stepper The device.
 * @param into The buffer.
 * @param signal Gives the read up.
 * @returns How many bytes; 0 if the device has none, or none for now.
 */
export async function readData(
  stepper: Stepper,
  into: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<number> {
  try {
    return await stepper.data.readAsync(into, { signal });
  } catch (error) {
    if (hasErrno(error, "ENOMSG")) return 0;
    throw stepper.explain(error, "read its state");
  }
}

/**
 * Writes all of a chunk into the file of a device's data.
 *
 * @param stepper The device.
 * @param from The chunk.
 * @param signal Gives the write up.
 */
export async function writeData(
  stepper: Stepper,
  from: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let done = 0; done < from.length;) {
    let written: number;
    try {
      written = await stepper.data.writeAsync(from.subarray(done), { signal });
    } catch (error) {
      throw stepper.explain(error, "load a state into it");
    }
    if (written === 0) {
      throw new VfioError("MIGRATION_FAILED", {
        device: stepper.name,
        problem: `it took ${done} of ${from.length} bytes of a state`,
      });
    }
    done += written;
  }
}
