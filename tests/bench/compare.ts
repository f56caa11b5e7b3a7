/**
 * Measures the same work in C and in TypeScript in turn, so that other work of
 * the machine affects both.
 *
 * @module
 */

/** A comparison to make. */
export interface Contest {
  /** A description of the work. */
  readonly what: string;
  /**
   * The target: the most time that TypeScript may take, in times of C. Without
   * one the result is for information.
   */
  readonly target?: number;
  /** The most nanoseconds that it may take, where C has no such work. */
  readonly limit?: number;
  /** Why the target is missed, where it is. */
  readonly holds?: string;
  /**
   * How often TypeScript does the work beforehand, so that its code is
   * optimised.
   */
  readonly warmUp: number;
  /** How often the work is done in a round. */
  readonly times: number;
  /** How many rounds there are. */
  readonly rounds: number;
}

/** The result: the nanoseconds for doing the work once, for each round. */
export interface Comparison
  extends Pick<Contest, "what" | "target" | "limit" | "holds" | "times"> {
  /** Whose `c` is, where that is not the C program. */
  readonly peer?: string;
  /** What is counted in place of nanoseconds. */
  readonly unit?: "instructions";
  /** C's rounds; empty where C has no such work. */
  readonly c: readonly number[];
  /** TypeScript's rounds. */
  readonly ts: readonly number[];
}

/**
 * Does the work some times, and returns the nanoseconds that all of it took.
 */
export type Contestant = (times: number) => number | Promise<number>;

/** Who does the work. */
export interface Contestants {
  /** The library. */
  readonly ts: Contestant;
  /** The C program. Without it only the library is measured. */
  readonly c?: Contestant;
}

/**
 * Has both do the work in turn: C, TypeScript, C, TypeScript and so on.
 *
 * @param contest A comparison to make.
 * @param contestants Who does the work.
 * @returns The result.
 */
export async function compare(
  { warmUp, rounds, times, ...rest }: Contest,
  { ts, c }: Contestants,
): Promise<Comparison> {
  await c?.(times);
  // In pieces of a round, as the code of a round is to be compiled.
  for (let done = 0; done < warmUp; done += times) await ts(times);
  const result = { c: [] as number[], ts: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    if (c !== undefined) result.c.push(await c(times) / times);
    result.ts.push(await ts(times) / times);
  }
  return { ...rest, times, ...result };
}

/**
 * Times a loop of the caller. A loop here that called the caller's function
 * would prevent the compiler from inlining that, as it does for users of the
 * library.
 *
 * @param loop Does the work a number of times.
 * @returns A contestant.
 */
export function timed(
  loop: (times: number) => void | Promise<void>,
): Contestant {
  return (times) => {
    const start = performance.now();
    const nanoseconds = () => (performance.now() - start) * 1e6;
    const done = loop(times);
    return done === undefined ? nanoseconds() : done.then(nanoseconds);
  };
}

/** A number that so many percent of numbers do not exceed. */
export function percentile(
  values: readonly number[],
  percent: number,
): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * percent / 100)]!;
}

/** The median of numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
