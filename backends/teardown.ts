/**
 * Does a step of a teardown and ignores its error. The steps after it release
 * the same things, the last of them by a close that cannot fail, and the caller
 * could do nothing about the error.
 */
export function ignoreErrors<T>(step: () => T): T | Promise<void> | void {
  try {
    const result = step();
    return result instanceof Promise ? result.catch(() => {}) : result;
  } catch {
    // See above.
  }
}

/**
 * Does a step of a teardown, and once more if it fails, where closing a
 * descriptor does not do the same: a lack of memory passes.
 */
export function insist(step: () => void): void {
  try {
    step();
  } catch {
    ignoreErrors(step);
  }
}
