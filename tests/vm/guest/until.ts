/**
 * Waits for something that happens by itself.
 *
 * @module
 */

/**
 * The time limit, in milliseconds. It is long enough for a busy machine, and
 * ends a test that would hang.
 */
const LIMIT = 240_000;

/**
 * Waits until something is there.
 *
 * @param look Returns it once it is there, and a false value before that.
 * @param what A description of it.
 * @returns The result of `look`.
 */
export async function until<T>(
  look: () => T | undefined | false,
  what: string,
): Promise<T> {
  for (const end = performance.now() + LIMIT; performance.now() < end;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`This did not come: ${what}`);
}
