/**
 * Waiting for some time.
 *
 * @module
 */

import { untilAborted } from "../../kernel/abort.ts";

/**
 * Waits.
 *
 * @param delay How long, in milliseconds.
 * @param signal Ends the wait.
 * @throws The signal's reason.
 */
export async function pause(
  delay: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delay);
  try {
    await untilAborted(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}
