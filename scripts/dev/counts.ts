/**
 * How many tests did what, from Deno's own JUnit report.
 *
 * @module
 */

/** The outcome of some tests; a step of a test counts as one. */
export interface Counts {
  /** They ran and passed. */
  readonly passed: number;
  /** They ran and failed. */
  readonly failed: number;
  /** They did not run. */
  readonly ignored: number;
}

/** The sum of several outcomes. */
export function sum(outcomes: readonly Counts[]): Counts {
  return outcomes.reduce(
    (a, b) => ({
      passed: a.passed + b.passed,
      failed: a.failed + b.failed,
      ignored: a.ignored + b.ignored,
    }),
    { passed: 0, failed: 0, ignored: 0 },
  );
}

/**
 * Counts the tests of a JUnit report of `deno test`.
 *
 * @param xml the report
 * @throws {SyntaxError} when it is no such report
 */
export function countJunit(xml: string): Counts {
  if (!/<\/testsuites>\s*$/.test(xml)) {
    throw new SyntaxError("Cannot count: not a whole JUnit report");
  }
  return sum(
    [...xml.matchAll(/<testsuite .*?>/g)].map(([suite]) => {
      const value = (name: string) =>
        Number(suite.match(` ${name}="(\\d+)"`)?.[1] ?? 0);
      const failed = value("failures") + value("errors");
      const ignored = value("disabled");
      return { passed: value("tests") - failed - ignored, failed, ignored };
    }),
  );
}

/** The outcome as CI reads it: `3 passed, 0 failed`, with what was skipped. */
export function summary({ passed, failed, ignored }: Counts): string {
  return `${passed} passed, ${failed} failed` +
    (ignored > 0 ? `, ${ignored} skipped` : "");
}
