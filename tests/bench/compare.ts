/**
 * The same thing done by C and by TypeScript in turn, so that whatever else the
 * machine does falls on both.
 *
 * @module
 */

/** What is to be compared. */
export interface Contest {
  /** What is measured, for people. */
  readonly what: string;
  /** What TypeScript may take at most, in times of C; none for information. */
  readonly target?: number;
  /** What holds the target where it is missed. */
  readonly holds?: string;
  /** How often TypeScript does it beforehand, until its code is optimised. */
  readonly warmUp: number;
  /** How often it is done in a round. */
  readonly times: number;
  /** How many rounds there are. */
  readonly rounds: number;
}

/** What came of it: nanoseconds for doing it once, one number a round. */
export interface Comparison
  extends Pick<Contest, "what" | "target" | "holds" | "times"> {
  /** C's rounds; none where C has no such thing. */
  readonly c: readonly number[];
  /** TypeScript's rounds. */
  readonly ts: readonly number[];
}

/** Does it so many times, and gives the nanoseconds that all of it took. */
export type Contestant = (times: number) => number | Promise<number>;

/** Who does it. */
export interface Contestants {
  /** The library. */
  readonly ts: Contestant;
  /** The C program; without it the library is measured alone. */
  readonly c?: Contestant;
}

/**
 * Has both do it in turn: C, TypeScript, C, TypeScript and so on.
 *
 * @param contest What is to be compared.
 * @param contestants Who does it.
 * @returns What came of it.
 */
export async function compare(
  { warmUp, rounds, times, ...rest }: Contest,
  { ts, c }: Contestants,
): Promise<Comparison> {
  await c?.(times);
  // In pieces: the code that is compiled is that of a round.
  for (let done = 0; done < warmUp; done += times) await ts(times);
  const result = { c: [] as number[], ts: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    if (c !== undefined) result.c.push(await c(times) / times);
    result.ts.push(await ts(times) / times);
  }
  return { ...rest, times, ...result };
}

/**
 * Times a loop. It is the caller's own, not one here that calls the caller's
 * function: the compiler could not put that inside the loop, as it can for
 * those who use the library.
 *
 * @param loop Does something as often as it is told.
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

/** The median of numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
