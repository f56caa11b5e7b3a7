/**
 * Waiting for what comes about by itself.
 *
 * @module
 */

/**
 * When waiting is given up, in milliseconds. What is waited for comes, however
 * busy the machine is: this ends a test that would hang.
 */
const LIMIT = 240_000;

/**
 * Waits until something is there.
 *
 * @param look Gives it once it is there, and before that what is false.
 * @param what What is waited for, in words.
 * @returns What `look` gave.
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
