/**
 * The parts of the tests, which differ in what they need.
 *
 * @module
 */

/** The parts, and the files that each is made of. */
export const PARTS = {
  /** No permission and no system. */
  unit: /^(tests\/(unit|faults|conformance)|examples)\/.*_test\.ts$/,
  /** This machine's libc, sysfs and tools. */
  host: /^tests\/(host|vm(?!\/guest\/))\/.*_test\.ts$/,
  /** The documentation's examples, on a real kernel. */
  docs: /^(mod\.ts|(lib|backends)\/.*\.ts)$/,
  /** Real kernels. */
  vm: /^tests\/(conformance|vm\/guest)\/.*_test\.ts$/,
} as const;

/** The name of a part. */
export type Part = keyof typeof PARTS;

/** Whether a word is the name of a part. */
export function isPart(word: string): word is Part {
  return Object.hasOwn(PARTS, word);
}

/**
 * The parts that run a file.
 *
 * @param path a path in the checkout
 */
export function partsOf(path: string): Part[] {
  return Object.keys(PARTS).filter(isPart).filter((part) =>
    PARTS[part].test(path)
  );
}
