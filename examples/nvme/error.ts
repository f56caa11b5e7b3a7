/**
 * The errors of the NVMe driver, and the names of what a controller answers.
 *
 * @module
 */
import { VfioError } from "../../mod.ts";

/** What went wrong. */
export type NvmeErrorCode =
  /** The controller refused a command: `status`. */
  | "COMMAND_FAILED"
  /** A command was not answered in time, and is over now. */
  | "TIMED_OUT"
  /** The controller was reset while the command was under way. */
  | "RESET"
  /** The controller did not start or stop. */
  | "NOT_READY"
  /** The controller answered what makes no sense. */
  | "PROTOCOL"
  /** The controller cannot do it. */
  | "UNSUPPORTED"
  /** The queue, or the controller, was closed. */
  | "CLOSED";

/** Details of an `NvmeError`. */
export interface NvmeErrorDetails extends ErrorOptions {
  /** The controller's address. */
  readonly device: string;
  /** What is wrong. */
  readonly problem: string;
  /** The status of the completion, without the phase. */
  readonly status?: number;
}

/** A failure of an NVMe controller. */
export class NvmeError extends Error {
  /** What went wrong. */
  readonly code: NvmeErrorCode;
  /** The controller's address. */
  readonly device: string;
  /**
   * The status that the controller answered: its code in bits 0 to 7, the
   * code's type in bits 8 to 10, "do not retry" in bit 14.
   */
  readonly status: number | undefined;

  /** Makes an error. */
  constructor(code: NvmeErrorCode, details: NvmeErrorDetails) {
    super(`nvme ${details.device}: ${details.problem}`, details);
    this.name = "NvmeError";
    this.code = code;
    this.device = details.device;
    this.status = details.status;
  }

  /** Whether the same command can succeed later, by the controller's word. */
  get canBeRetried(): boolean {
    return this.status === undefined || (this.status & 0x4000) === 0;
  }
}

/**
 * The error of a controller that is gone: pulled out, without power, or dead.
 * Its registers read as ones.
 */
export function deviceLost(device: string): VfioError {
  return new VfioError("DEVICE_LOST", {
    device,
    problem: "it no longer answers: its registers read as ones",
    hint: "detach it; it was removed, lost its power or its link, or failed",
  });
}

/** The error of a command that the controller refused. */
export function commandFailed(
  device: string,
  opcode: number,
  status: number,
): NvmeError {
  return new NvmeError("COMMAND_FAILED", {
    device,
    problem: `command 0x${opcode.toString(16)} failed: ${statusName(status)}`,
    status,
  });
}

/**
 * The name of a status (Base Specification 2.0, figures 95 to 103, and NVM
 * Command Set Specification 1.0, figure 21).
 *
 * @param status The status of a completion, without the phase.
 */
export function statusName(status: number): string {
  const name = NAMES[status & 0x7ff];
  return name ?? `status 0x${(status & 0x7ff).toString(16)}`;
}

const NAMES: Readonly<Record<number, string>> = {
  // Generic
  0x000: "success",
  0x001: "invalid command opcode",
  0x002: "invalid field in command",
  0x003: "command id conflict",
  0x004: "data transfer error",
  0x005: "aborted, as power is lost",
  0x006: "internal error",
  0x007: "aborted by request",
  0x008: "aborted, as its submission queue was deleted",
  0x009: "aborted, as its fused command failed",
  0x00a: "aborted, as its fused command is missing",
  0x00b: "invalid namespace or format",
  0x00c: "command sequence error",
  0x00d: "invalid SGL segment descriptor",
  0x00e: "invalid number of SGL descriptors",
  0x00f: "data SGL length invalid",
  0x010: "metadata SGL length invalid",
  0x011: "SGL descriptor type invalid",
  0x012: "invalid use of the controller memory buffer",
  0x013: "PRP offset invalid",
  0x014: "atomic write unit exceeded",
  0x015: "operation denied",
  0x016: "SGL offset invalid",
  0x018: "host identifier inconsistent",
  0x019: "keep alive timer expired",
  0x01a: "keep alive timeout invalid",
  0x01b: "aborted, as another was preempted",
  0x01c: "sanitize failed",
  0x01d: "sanitize in progress",
  0x020: "namespace is write protected",
  0x021: "command interrupted",
  0x022: "transient transport error",
  0x080: "block out of range",
  0x081: "capacity exceeded",
  0x082: "namespace not ready",
  0x083: "reservation conflict",
  0x084: "format in progress",
  // Of a command
  0x100: "completion queue invalid",
  0x101: "invalid queue identifier",
  0x102: "invalid queue size",
  0x103: "abort command limit exceeded",
  0x105: "asynchronous event request limit exceeded",
  0x106: "invalid firmware slot",
  0x107: "invalid firmware image",
  0x108: "invalid interrupt vector",
  0x109: "invalid log page",
  0x10a: "invalid format",
  0x10c: "invalid queue deletion",
  0x10d: "feature identifier not saveable",
  0x10e: "feature not changeable",
  0x10f: "feature not namespace specific",
  0x115: "namespace insufficient capacity",
  0x118: "namespace already attached",
  0x11a: "namespace not attached",
  0x180: "conflicting attributes",
  0x181: "invalid protection information",
  0x182: "attempted write to read only range",
  // Of media
  0x280: "write fault",
  0x281: "unrecovered read error",
  0x282: "end-to-end guard check error",
  0x283: "end-to-end application tag check error",
  0x284: "end-to-end reference tag check error",
  0x285: "compare failure",
  0x286: "access denied",
  0x287: "deallocated or unwritten block",
};
