/** What a call that waits takes. */
export interface SignalOptions {
  /** Gives the call up; the promise is rejected with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for work until a signal is aborted. The work goes on.
 *
 * @param work What to wait for.
 * @param signal The signal.
 * @returns The result of the work.
 * @throws The signal's reason, when it is aborted before.
 */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    if (signal.aborted) abort();
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
