/**
 * How a simulated system call ends: with a result, with an errno, or not yet.
 *
 * @module
 */

import { errnoNumber, KernelError } from "../../kernel/errno.ts";
import { Refusal } from "./refusal.ts";

/**
 * Makes a call.
 *
 * @param syscall What the error names, where the call is refused.
 * @param path The path that it is about.
 * @param answer What the kernel does.
 * @throws {KernelError} The errno that the call was refused with.
 */
export function call<T>(
  syscall: string,
  path: string | undefined,
  answer: () => T | Refusal,
): T {
  let given: T | Refusal;
  try {
    given = answer();
  } catch (error) {
    throw toKernelError(error, syscall, path);
  }
  if (given instanceof Refusal) throw toKernelError(given, syscall, path);
  return given;
}

/** Makes a call that may block: {@linkcode call} in all else. */
export async function callAsync<T>(
  syscall: string,
  path: string | undefined,
  answer: () => T | Promise<T>,
): Promise<T> {
  try {
    return await answer();
  } catch (error) {
    throw toKernelError(error, syscall, path);
  }
}

/** A call that a real kernel makes on another thread takes a turn here too. */
export function settled(): Promise<void> {
  return Promise.resolve();
}

/** The result of a call that holds the event loop while it is made. */
export function assertImmediate<T>(result: T | Promise<T>): T {
  if (!(result instanceof Promise)) return result;
  // Nothing can let the call go on while it holds the event loop.
  result.catch(() => {});
  throw new Error(
    "This call blocks, and a real process would hang in it: make it by the " +
      "method that ends in Async",
  );
}

function toKernelError(
  error: unknown,
  syscall: string,
  path: string | undefined,
): unknown {
  return error instanceof Refusal
    ? new KernelError(errnoNumber(error.code), syscall, path)
    : error;
}
