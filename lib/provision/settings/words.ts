/**
 * The words of the kernel's command line.
 *
 * @module
 */

/** A word; one in quotes can have spaces. */
const WORD = /(?:"[^"]*"|[^\s"])+/g;

/** What the kernel takes more than once (`kernel-parameters.txt`). */
const REPEATABLE: ReadonlySet<string> = new Set([
  "console",
  "earlycon",
  "hugepages",
  "hugepagesz",
  "memmap",
  "modprobe.blacklist",
]);

/**
 * The words of a text.
 *
 * @param text The text.
 */
export function wordsOf(text: string): string[] {
  return [...text.matchAll(WORD)].map(([word]) => word);
}

/** What a word sets. The kernel takes `-` and `_` for the same. */
export function keyOf(word: string): string {
  return word.split("=")[0]!.replaceAll("-", "_");
}

/**
 * Whether a text sets what a word sets, to the same or to another value.
 *
 * @param text The text.
 * @param word The word.
 */
export function mentions(text: string, word: string): boolean {
  const words = wordsOf(text);
  return REPEATABLE.has(keyOf(word))
    ? words.includes(word)
    : words.some((each) => keyOf(each) === keyOf(word));
}

/**
 * Has words in a text, each once. Another value of the same is replaced where it
 * stands; what else is in the text stays as it is.
 *
 * @param text The text.
 * @param wanted The words.
 */
export function merged(text: string, wanted: readonly string[]): string {
  let all = text;
  for (const word of wanted) {
    if (!mentions(all, word)) {
      all = all.trim() === "" ? word : `${all.trimEnd()} ${word}`;
      continue;
    }
    if (REPEATABLE.has(keyOf(word))) continue;
    const isSame = (each: string) => keyOf(each) === keyOf(word);
    if (wordsOf(all).filter(isSame).every((each) => each === word)) continue;
    let isFirst = true;
    all = all.replaceAll(WORD, (each) => {
      if (!isSame(each)) return each;
      const kept = isFirst ? word : "";
      isFirst = false;
      return kept;
    });
  }
  return all;
}
