/**
 * What came of the comparisons, for people.
 *
 * @module
 */
import { type Comparison, median } from "./compare.ts";

const COLUMNS = ["C", "TypeScript", "ratio", "at best", "target", ""];

/** The medians of a comparison, and how they compare. */
export interface Outcome {
  /** C's median in nanoseconds; `undefined` where C has no such thing. */
  readonly c: number | undefined;
  /** TypeScript's median in nanoseconds. */
  readonly ts: number;
  /** What TypeScript takes, in times of C. */
  readonly ratio: number | undefined;
  /** The same of the fastest rounds, which nothing else disturbed. */
  readonly atBest: number | undefined;
  /** Whether the target is met, where there is one. */
  readonly ok: boolean | undefined;
}

/** Sums a comparison up. */
export function outcome({ c, ts, target }: Comparison): Outcome {
  const tsMedian = median(ts);
  if (c.length === 0) {
    return {
      c: undefined,
      ts: tsMedian,
      ratio: undefined,
      atBest: undefined,
      ok: undefined,
    };
  }
  const cMedian = median(c);
  const ratio = tsMedian / cMedian;
  const atBest = Math.min(...ts) / Math.min(...c);
  const ok = target === undefined ? undefined : ratio <= target;
  return { c: cMedian, ts: tsMedian, ratio, atBest, ok };
}

/**
 * A table of comparisons, with a note for each that misses its target.
 *
 * @param title What stands above the first column.
 * @param comparisons What came out.
 * @returns Its lines.
 */
export function table(
  title: string,
  comparisons: readonly Comparison[],
): string[] {
  const rows = [
    [title, ...COLUMNS],
    ...comparisons.map((comparison) => cells(comparison)),
  ];
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  const lines = rows.map((row) =>
    row.map((cell, column) =>
      column === 0 || column === COLUMNS.length
        ? cell.padEnd(widths[column]!)
        : cell.padStart(widths[column]!)
    ).join("  ").trimEnd()
  );
  return [...lines, ...notes(comparisons)];
}

function cells(comparison: Comparison): string[] {
  const { what, target } = comparison;
  const { c, ts, ratio, atBest, ok } = outcome(comparison);
  return [
    what,
    c === undefined ? "" : time(c),
    time(ts),
    ratio?.toFixed(2) ?? "",
    atBest?.toFixed(2) ?? "",
    target?.toFixed(2) ?? "",
    ok === undefined ? "" : ok ? "ok" : "missed",
  ];
}

/** What holds the targets that are missed, each said once. */
function notes(comparisons: readonly Comparison[]): string[] {
  const missed = comparisons.filter((one) => outcome(one).ok === false);
  const byNote = Map.groupBy(missed, ({ holds }) => holds);
  return [...byNote].flatMap(([holds, ones]) =>
    holds === undefined
      ? []
      : ["", `${ones.map(({ what }) => what).join("; ")}:`, `  ${holds}`]
  );
}

/** A time in the unit that fits it. */
function time(nanoseconds: number): string {
  const [value, unit] = nanoseconds >= 1e6
    ? [nanoseconds / 1e6, "ms"]
    : nanoseconds >= 1e3
    ? [nanoseconds / 1e3, "µs"]
    : [nanoseconds, "ns"];
  return `${value.toPrecision(3)} ${unit}`;
}
