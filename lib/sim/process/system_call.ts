/**
 * Turns the outcome of a simulated system call into a result, an error or a
 * promise.
 *
 * @module
 */

import { errnoNumber, KernelError } from "../../kernel/errno.ts";
import { Refusal } from "./refusal.ts";

/**
 * Makes a call.
 *
 * @param syscall The name of the call, for the error.
 * @param path The path of the call, for the error.
 * @param answer Does what the kernel does.
 * @throws {KernelError} When the kernel refuses the call.
 */
export function call<T>(
  syscall: string,
  path: string | undefined,
  answer: () => T | Refusal,
): T {
  let result: T | Refusal;
  try {
    result = answer();
  } catch (error) {
    throw toKernelError(error, syscall, path);
  }
  if (result instanceof Refusal) throw toKernelError(result, syscall, path);
  return result;
}

/** Makes a call that may block. Otherwise as {@linkcode call}. */
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

/** Waits for a turn of the event loop, as a call on another thread does. */
export function settled(): Promise<void> {
  return Promise.resolve();
}

/** Returns the result of a synchronous call. Throws if the call would block. */
export function assertImmediate<T>(result: T | Promise<T>): T {
  if (!(result instanceof Promise)) return result;
  // The call would never end: it blocks the event loop meanwhile.
  result.catch(() => {});
  throw new Error(
    "This call blocks, and a real process would hang in it: use the method " +
      "whose name ends in Async",
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
