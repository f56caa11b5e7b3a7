/**
 * The outcome of a test run: how many tests passed, failed or did not run, and
 * how long each took.
 *
 * @module
 */

/** How many tests passed, failed or did not run. A step counts as a test. */
export interface Counts {
  /** They ran and passed. */
  readonly passed: number;
  /** They ran and failed. */
  readonly failed: number;
  /** They did not run. */
  readonly ignored: number;
}

/** How long a test took, its steps included. */
export interface TestTime {
  /** The test's name. */
  readonly name: string;
  /** The time it took, in seconds. */
  readonly seconds: number;
}

/** The outcome of some tests. */
export interface Outcome extends Counts {
  /** How long each test took that ran, in the order in which they ended. */
  readonly times: readonly TestTime[];
}

/** The outcome of something that failed before any test ran. */
export const FAILED: Outcome = { passed: 0, failed: 1, ignored: 0, times: [] };

/** The sum of several outcomes. */
export function sum(outcomes: readonly Outcome[]): Outcome {
  const total = (key: keyof Counts) =>
    outcomes.reduce((total, outcome) => total + outcome[key], 0);
  return {
    passed: total("passed"),
    failed: total("failed"),
    ignored: total("ignored"),
    times: outcomes.flatMap(({ times }) => times),
  };
}

/**
 * Reads Deno's JUnit report.
 *
 * @param xml the report of `deno test --junit-path`
 * @throws {SyntaxError} when it is not a complete report
 */
export function readJunit(xml: string): Outcome {
  if (!/<\/testsuites>\s*$/.test(xml)) {
    throw new SyntaxError("Cannot count: not a whole JUnit report");
  }
  return sum(
    xml.split("<testsuite ").slice(1).map((suite) => {
      const value = (name: string) =>
        Number(suite.match(` ${name}="(\\d+)"`)?.[1] ?? 0);
      const failed = value("failures") + value("errors");
      const ignored = value("disabled");
      return {
        passed: value("tests") - failed - ignored,
        failed,
        ignored,
        times: readTimes(suite),
      };
    }),
  );
}

/**
 * Reads the times of the tests of a suite. Leaves out steps, whose names follow
 * those of their tests.
 */
function readTimes(suite: string): TestTime[] {
  const cases = suite.matchAll(/<testcase name="(.*?)" .*? time="([\d.]+)"/g);
  const times = [...cases].map(([, name, seconds]) => ({
    name: unescape(name!),
    seconds: Number(seconds),
  }));
  const names = times.map(({ name }) => `${name} > `);
  return times.filter(({ name }) =>
    !names.some((test) => name.startsWith(test))
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&apos;": "'",
  "&gt;": ">",
  "&lt;": "<",
  "&quot;": '"',
};

function unescape(text: string): string {
  return text.replaceAll(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity);
}

/** The outcome as CI reads it: `3 passed, 0 failed`, with what was skipped. */
export function summary({ passed, failed, ignored }: Counts): string {
  return `${passed} passed, ${failed} failed` +
    (ignored > 0 ? `, ${ignored} skipped` : "");
}
