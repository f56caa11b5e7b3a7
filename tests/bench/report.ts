/**
 * Formats the results of comparisons.
 *
 * @module
 */
import { type Comparison, median } from "./compare.ts";

const COLUMNS = ["C", "TypeScript", "ratio", "at best", "target", ""];

/** The outcome of a comparison. Without C it has only a time. */
export interface Outcome {
  /** TypeScript's median, in nanoseconds. */
  readonly ts: number;
  /** C's median, in nanoseconds. */
  readonly c?: number;
  /** TypeScript's time, in times of C's. */
  readonly ratio?: number;
  /** The same for the fastest rounds, which were disturbed least. */
  readonly atBest?: number;
  /** Whether the target is met. */
  readonly ok?: boolean;
}

/** Computes the outcome of a comparison. */
export function outcome({ c, ts, target, limit }: Comparison): Outcome {
  const tsMedian = median(ts);
  if (c.length === 0) {
    return {
      ts: tsMedian,
      ...limit !== undefined && { ok: tsMedian <= limit },
    };
  }
  const cMedian = median(c);
  const ratio = tsMedian / cMedian;
  return {
    ts: tsMedian,
    c: cMedian,
    ratio,
    atBest: Math.min(...ts) / Math.min(...c),
    ...target !== undefined && { ok: ratio <= target },
  };
}

/**
 * Formats a table of comparisons, with a note for each that misses its target.
 *
 * @param title The heading of the first column.
 * @param comparisons The comparisons.
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
  const { target, limit } = comparison;
  const { c, ts, ratio, atBest, ok } = outcome(comparison);
  const amount = comparison.unit === undefined ? time : count;
  return [
    name(comparison),
    c === undefined ? "" : amount(c),
    amount(ts),
    ratio?.toFixed(2) ?? "",
    atBest?.toFixed(2) ?? "",
    target?.toFixed(2) ?? (limit === undefined ? "" : time(limit)),
    ok === undefined ? "" : ok ? "ok" : "missed",
  ];
}

/** Formats a comparison as a line, while others are made. */
export function line(comparison: Comparison): string {
  const { target, limit } = comparison;
  const { c, ts, ratio } = outcome(comparison);
  const amount = comparison.unit === undefined ? time : count;
  const most = target?.toFixed(2) ??
    (limit === undefined ? undefined : time(limit));
  return `${name(comparison)}: ` +
    `${c === undefined ? "" : `${amount(c)}, `}${amount(ts)}` +
    (ratio === undefined ? "" : `, ratio ${ratio.toFixed(2)}`) +
    (most === undefined ? "" : ` of ${most} at most`);
}

function name({ what, peer }: Comparison): string {
  return peer === undefined ? what : `${what}: ${peer}`;
}

/** The reasons for missed targets, each once. */
function notes(comparisons: readonly Comparison[]): string[] {
  const missed = comparisons.filter((one) => outcome(one).ok === false);
  const byNote = Map.groupBy(missed, ({ holds }) => holds);
  return [...byNote].flatMap(([holds, ones]) =>
    holds === undefined
      ? []
      : ["", `${ones.map(({ what }) => what).join("; ")}:`, `  ${holds}`]
  );
}

/** Formats a number of instructions. */
function count(instructions: number): string {
  return instructions.toPrecision(3);
}

/** Formats a time in a fitting unit. */
function time(nanoseconds: number): string {
  const [value, unit] = nanoseconds >= 1e9
    ? [nanoseconds / 1e9, "s"]
    : nanoseconds >= 1e6
    ? [nanoseconds / 1e6, "ms"]
    : nanoseconds >= 1e3
    ? [nanoseconds / 1e3, "µs"]
    : [nanoseconds, "ns"];
  return `${value.toPrecision(3)} ${unit}`;
}
