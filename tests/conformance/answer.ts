import { KernelError } from "../../mod.ts";

/**
 * Returns the answer of a call: its result, or the name of its errno.
 *
 * @param call Makes the call.
 */
export function answer<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    return errnoOf(error);
  }
}

/** As {@linkcode answer}, for a call that may block. */
export async function answerOf<T>(call: () => Promise<T>): Promise<T | string> {
  try {
    return await call();
  } catch (error) {
    return errnoOf(error);
  }
}

function errnoOf(error: unknown): string {
  if (error instanceof KernelError) return error.code;
  throw error;
}
