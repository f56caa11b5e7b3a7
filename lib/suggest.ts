/**
 * Finds the known name that is most similar to a mistyped one.
 *
 * @param name The mistyped name.
 * @param known The known names.
 * @returns One of them, or `undefined` when none is similar.
 */
export function nearest(
  name: string,
  known: Iterable<string>,
): string | undefined {
  const written = name.toLowerCase();
  const [best] = [...known]
    .map((each) => ({ each, far: distance(written, each.toLowerCase()) }))
    .filter(({ each, far }) => far <= Math.max(1, each.length / 3))
    .sort((a, b) => a.far - b.far);
  return best?.each;
}

/** Counts the characters to insert, remove, replace or swap with the next. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] &&
        a[i - 2] === b[j - 1];
      next[j] = Math.min(
        row[j]! + 1,
        next[j - 1]! + 1,
        row[j - 1]! + same,
        swapped ? before[j - 2]! + 1 : Infinity,
      );
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
