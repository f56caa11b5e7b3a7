import fc from "fast-check";

/**
 * Checks a property with random sequences, and reports the shortest one that
 * breaks it.
 *
 * @param sequences The sequences.
 * @param parameters The number of sequences, and the seed.
 * @param property Throws when a sequence breaks it.
 * @param format Formats a sequence for people.
 */
export async function assertForAll<T>(
  sequences: fc.Arbitrary<readonly T[]>,
  parameters: fc.Parameters<[readonly T[]]>,
  property: (sequence: readonly T[]) => Promise<void>,
  format: (sequence: readonly T[]) => string = inspect,
): Promise<void> {
  const { counterexample, seed } = await fc.check(
    fc.asyncProperty(sequences, property),
    { endOnFailure: true, ...parameters },
  );
  if (counterexample === null) return;
  const shortest = await shorten(counterexample[0], property);
  await property(shortest).catch((cause) => {
    const text = format(shortest);
    throw new Error(`with seed ${seed}, shortened to\n\n${text}`, { cause });
  });
}

/**
 * How long a sequence is shortened, in milliseconds. A real kernel can be slow.
 */
const SHORTEN_LIMIT = 100_000;

/** Leaves out all operations that are not needed to break the property. */
async function shorten<T>(
  sequence: readonly T[],
  property: (sequence: readonly T[]) => Promise<void>,
): Promise<readonly T[]> {
  let shortest = sequence;
  const end = performance.now() + SHORTEN_LIMIT;
  for (let i = sequence.length - 1; i >= 0; i--) {
    if (performance.now() > end) break;
    const fewer = shortest.toSpliced(i, 1);
    const breaks = await property(fewer).then(() => false, () => true);
    if (breaks) shortest = fewer;
  }
  return shortest;
}

function inspect(sequence: readonly unknown[]): string {
  return sequence.map((each) => Deno.inspect(each, { depth: 9 })).join("\n");
}
