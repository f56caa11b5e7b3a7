/**
 * The errors that callers can distinguish.
 *
 * @module
 */

import { KernelError } from "./kernel/errno.ts";
import { printable, printableLines } from "./printable.ts";

/**
 * What went wrong, stable across versions.
 *
 * | code | meaning |
 * | --- | --- |
 * | `ALREADY_ATTACHED` | this process has the device attached, in this address space or another |
 * | `AMBIGUOUS` | what was said of a device is true of several |
 * | `BACKEND_UNAVAILABLE` | the backend asked for cannot be used for this device on this host |
 * | `CHANGED` | somebody else has changed since what was to be brought back |
 * | `DETACHED` | the device was detached, the memory freed or the interrupt disabled, and is used still |
 * | `DETACH_INCOMPLETE` | the device was detached, but something of it could not be released |
 * | `DEVICE_BUSY` | another process has the device, or its group, open, or has taken it |
 * | `DEVICE_LOST` | the device no longer answers: it was removed, or failed |
 * | `DEVICE_NOT_FOUND` | the host has no such device |
 * | `DRIVER_FAILED` | a driver could not be bound, or did not take the device |
 * | `GROUP_IN_OTHER_SPACE` | the IOMMU group belongs to another address space of this process |
 * | `GROUP_NOT_VIABLE` | a function of the IOMMU group is bound to a driver that is not safe for VFIO |
 * | `HOST_IN_USE` | the host uses the device, for a mounted file system or its default route for example |
 * | `IDENTITY_CHANGED` | what is at this address, or has this UUID, is not what was said of it |
 * | `INACCESSIBLE` | the device's registers cannot be accessed now: it is being reset, sleeps, or does not decode its memory |
 * | `IN_USE` | an object of an iommufd is needed by another; the message names it |
 * | `IOVA_EXHAUSTED` | no free IOVA range is large enough |
 * | `IOVA_OUT_OF_RANGE` | the IOMMU cannot translate this IOVA |
 * | `IOVA_OVERLAP` | the IOVA range is mapped already |
 * | `JOURNAL_DAMAGED` | a journal of changes to the host cannot be read; it is kept |
 * | `KERNEL` | the kernel refused for a reason this library does not know; see `cause` |
 * | `LOCKED` | another process is changing the host |
 * | `MAPPING_LIMIT` | the kernel's limit on the number of DMA mappings is reached |
 * | `MEMLOCK_LIMIT` | the mapping needs more locked memory than the process may have |
 * | `MIGRATION_FAILED` | the device refused a state, or its data; the message says where it is |
 * | `NOT_OWNED` | a hot reset would take a function that this process does not have, or that is on no VFIO driver |
 * | `NOT_SUPPORTED` | the device or the backend has no such function, or the firmware allows none |
 * | `NO_IOMMU_GROUP` | no IOMMU isolates the device |
 * | `NO_MEMORY` | the system has no memory, or no huge pages, left to give |
 * | `PERMISSION_DENIED` | this user may not open the device node, or write the attribute or the journal |
 * | `PROGRAM_FAILED` | a program of the host failed, such as modprobe; the message has what it wrote |
 * | `RESTORE_INCOMPLETE` | not all of what was changed could be brought back; the journal, or the hint, has the rest |
 * | `TIMED_OUT` | the kernel did not answer in time |
 * | `VECTORS_EXHAUSTED` | the host has fewer interrupt vectors for the device than were asked for |
 * | `WRONG_DRIVER` | the device is not bound to a VFIO driver |
 */
export type VfioErrorCode =
  | "ALREADY_ATTACHED"
  | "AMBIGUOUS"
  | "BACKEND_UNAVAILABLE"
  | "CHANGED"
  | "DETACHED"
  | "DETACH_INCOMPLETE"
  | "DEVICE_BUSY"
  | "DEVICE_LOST"
  | "DEVICE_NOT_FOUND"
  | "DRIVER_FAILED"
  | "GROUP_IN_OTHER_SPACE"
  | "GROUP_NOT_VIABLE"
  | "HOST_IN_USE"
  | "IDENTITY_CHANGED"
  | "INACCESSIBLE"
  | "IN_USE"
  | "IOVA_EXHAUSTED"
  | "IOVA_OUT_OF_RANGE"
  | "IOVA_OVERLAP"
  | "JOURNAL_DAMAGED"
  | "KERNEL"
  | "LOCKED"
  | "MAPPING_LIMIT"
  | "MEMLOCK_LIMIT"
  | "MIGRATION_FAILED"
  | "NOT_OWNED"
  | "NOT_SUPPORTED"
  | "NO_IOMMU_GROUP"
  | "NO_MEMORY"
  | "PERMISSION_DENIED"
  | "PROGRAM_FAILED"
  | "RESTORE_INCOMPLETE"
  | "TIMED_OUT"
  | "VECTORS_EXHAUSTED"
  | "WRONG_DRIVER";

/** What a {@linkcode VfioError} is made of. */
export interface VfioErrorDetails {
  /** The device it is about: a PCI address, or another bus's device name. */
  readonly device?: string | undefined;
  /** What was wrong, as a clause: "the group is open in another process". */
  readonly problem: string;
  /** What to do next. */
  readonly hint?: string | undefined;
  /** The kernel's answer, where it was asked. */
  readonly cause?: unknown;
}

/**
 * An operation on a device failed. What it had acquired is released.
 *
 * @example Telling errors apart
 * ```ts
 * import { VfioError } from "@passthru/vfio";
 *
 * function retryLater(error: unknown): boolean {
 *   return error instanceof VfioError && error.code === "DEVICE_BUSY";
 * }
 * ```
 */
export class VfioError extends Error {
  /** Always `"VfioError"`. */
  override readonly name = "VfioError";
  /** What went wrong, stable across versions. */
  readonly code: VfioErrorCode;
  /** The device it is about: a PCI address, or another bus's device name. */
  readonly device: string | undefined;
  /** What was wrong, as a clause. */
  readonly problem: string;
  /** What to do next, where that is known. */
  readonly hint: string | undefined;

  /**
   * Makes the error; its message begins with the device. Control characters
   * are escaped: what the details quote can come from another user.
   *
   * @param code What went wrong.
   * @param details The device, the problem, the hint and the cause.
   */
  constructor(code: VfioErrorCode, details: VfioErrorDetails) {
    const { cause } = details;
    const device = details.device && printable(details.device);
    const problem = printableLines(details.problem);
    const hint = details.hint && printableLines(details.hint);
    const subject = device === undefined ? "vfio" : `vfio ${device}`;
    super(
      `${subject}: ${problem}${hint === undefined ? "" : `\nhint: ${hint}`}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.device = device;
    this.problem = problem;
    this.hint = hint;
  }
}

/**
 * Turns what an operation threw into the error to throw: a
 * {@linkcode KernelError} becomes a {@linkcode VfioError} `KERNEL`, a
 * `VfioError` without a device gets this one, and any other error is returned
 * unchanged.
 *
 * @param error What was thrown.
 * @param doing What was being done, as in "cannot attach".
 * @param device The device it is about.
 */
export function toVfioError(
  error: unknown,
  doing: string,
  device?: string,
): unknown {
  if (error instanceof KernelError) {
    const problem = `cannot ${doing}: ${error.message}`;
    return new VfioError("KERNEL", { device, problem, cause: error });
  }
  const nameless = error instanceof VfioError && error.device === undefined;
  if (nameless && device !== undefined) {
    const { code, problem, hint, cause } = error;
    return new VfioError(code, { device, problem, hint, cause });
  }
  return error;
}
