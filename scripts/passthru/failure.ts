/**
 * What the command reports of an error, and its exit code.
 *
 * @module
 */

import { VfioError, type VfioErrorCode } from "../../lib/errors.ts";
import { KernelError } from "../../lib/kernel/errno.ts";
import { EXIT, UsageError } from "./command.ts";

/** What the command reports of an error. */
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
  /** Where it was thrown, for an unexpected error. */
  readonly stack?: string | undefined;
}

/** The exit codes of errors that are not plain failures. */
const EXITS: Partial<Record<VfioErrorCode | string, number>> = {
  BACKEND_UNAVAILABLE: EXIT.UNFIT,
  HOST_IN_USE: EXIT.REFUSED,
  NO_IOMMU_GROUP: EXIT.UNFIT,
};

/** Advice to a script, and what is typed in its place. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/host\.take\("([^"]+)"\)/g, "passthru bind $1"],
  [/, or insist: \[.*\] in a script/, ""],
  [/^pass the token:/, "a script can pass the token:"],
  [/^take the (legacy|iommufd) backend, or/, "--backend $1, or"],
  [/, with the backend "legacy"/, ", with --backend legacy"],
  [/by iommufd, or legacy$/, "--by iommufd, or --by legacy"],
  [/lspci -D(?:nn)? lists/, "passthru list shows"],
  [/ask the device for its group/, "passthru list shows that of each function"],
];

/** Replaces the function calls of a hint by commands. */
function asCommand(hint: string | undefined): string | undefined {
  return ADVICE.reduce<string | undefined>(
    (text, [advice, instead]) => text?.replace(advice, instead),
    hint,
  );
}

/** Whether an error is the reason of an aborted signal. */
function isAbort(error: unknown, { reason }: AbortSignal): boolean {
  return error === reason ||
    error instanceof DOMException && error.name === "AbortError";
}

/**
 * Explains an error to the user.
 *
 * @param error What was thrown.
 * @param signal Aborted when Ctrl-C has ended the command.
 */
export function explain(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted && isAbort(error, signal)) {
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
      hint: "the command needs --allow-ffi, passthru qemu also --allow-run: " +
        "install it with both",
      exit: EXIT.FAILED,
    };
  }
  return { code: "INTERNAL", message, exit: EXIT.FAILED, stack };
}
