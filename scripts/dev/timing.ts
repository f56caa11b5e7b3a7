/**
 * How long the parts of a test run took.
 *
 * @module
 */
import { duration } from "../../tests/vm/progress.ts";
import type { Outcome } from "./outcome.ts";

/** Tests that ran in one go. */
export interface Run {
  /** The part, or the machine, that they ran in. */
  readonly name: string;
  /** How long they took, in seconds, with their preparation. */
  readonly seconds: number;
  /** Their outcome. */
  readonly outcome: Outcome;
}

/** How many of the slowest tests are listed. */
const SLOWEST = 10;

/**
 * Lists how long each part and machine took, and the slowest tests.
 *
 * @param runs what ran; the times of runs with one name are added up
 * @param seconds how long all of it took, some of it side by side
 * @returns lines of text
 */
export function timing(runs: readonly Run[], seconds: number): string {
  const parts = [...Map.groupBy(runs, ({ name }) => name)].map((
    [name, runsOfPart],
  ) =>
    line(runsOfPart.reduce((total, { seconds }) => total + seconds, 0), name)
  );
  const tests = runs.flatMap(({ name, outcome }) =>
    outcome.times.map((time) => ({ ...time, name: `${name}: ${time.name}` }))
  ).sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  return [
    "── how long each part took",
    ...parts,
    line(seconds, "in all, guests side by side"),
    "── the slowest tests",
    ...tests.map(({ name, seconds }) => line(seconds, name)),
  ].join("\n");
}

function line(seconds: number, what: string): string {
  return `${duration(seconds * 1000).padStart(12)}  ${what}`;
}
