/**
 * What is told of an error, and the exit code that it gives.
 *
 * @module
 */

import { VfioError, type VfioErrorCode } from "../../lib/errors.ts";
import { KernelError } from "../../lib/kernel/errno.ts";
import { EXIT, UsageError } from "./command.ts";

/** What is told of an error. */
export interface Failure {
  /** A `VfioErrorCode`, or `USAGE`, `INTERRUPTED`, `KERNEL`, `INTERNAL`. */
  readonly code: string;
  /** The device it is about. */
  readonly device?: string | undefined;
  /** What was wrong. */
  readonly message: string;
  /** What to do. */
  readonly hint?: string | undefined;
  /** The exit code. */
  readonly exit: number;
  /** Where it happened, for what should not have happened. */
  readonly stack?: string | undefined;
}

/** The exit codes of those that are no plain failure. */
const EXITS: Partial<Record<VfioErrorCode | string, number>> = {
  BACKEND_UNAVAILABLE: EXIT.UNFIT,
  HOST_IN_USE: EXIT.REFUSED,
  NO_IOMMU_GROUP: EXIT.UNFIT,
};

/** What to type, where a hint says what to call. */
function asCommand(hint: string | undefined): string | undefined {
  return hint?.replace(/host\.take\("([^"]+)"\)/g, "passthru bind $1");
}

/** Whether it is what an aborted signal throws: this one, or QEMU's own. */
function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * What is told of an error.
 *
 * @param error What was thrown.
 * @param signal Aborted where Ctrl-C ended the command.
 */
export function explain(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted && isAbort(error)) {
    return {
      code: "INTERRUPTED",
      message: "interrupted, and everything is as it was",
      exit: EXIT.INTERRUPTED,
    };
  }
  if (error instanceof UsageError) {
    const { message, hint } = error;
    return { code: "USAGE", message, hint, exit: EXIT.USAGE };
  }
  if (error instanceof VfioError) {
    const { code, device, problem, hint } = error;
    const exit = EXITS[code] ?? EXIT.FAILED;
    return { code, device, message: problem, hint: asCommand(hint), exit };
  }
  if (error instanceof KernelError) {
    return { code: "KERNEL", message: error.message, exit: EXIT.FAILED };
  }
  const { name, message, stack } = error instanceof Error
    ? error
    : new Error(String(error));
  if (name === "NotCapable") {
    return {
      code: "PERMISSION_DENIED",
      message,
      hint: "the command needs --allow-ffi, and passthru qemu --allow-run: " +
        "install it with both",
      exit: EXIT.FAILED,
    };
  }
  return { code: "INTERNAL", message, exit: EXIT.FAILED, stack };
}
