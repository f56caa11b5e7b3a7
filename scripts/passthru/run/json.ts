/**
 * Reads JSON, in which each key is given once.
 *
 * @module
 */

import { printable } from "../../../lib/printable.ts";

/** Strings, and what is around them in JSON. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

/**
 * Parses JSON. `JSON.parse` takes the last value of a key that is given twice,
 * which is hardly what its writer meant.
 *
 * @param text The text.
 * @throws {SyntaxError} When it is no JSON, or an object gives a key twice. The
 * message says where.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  assertKeysOnce(text);
  return value;
}

/** Checks the keys of a text that is JSON. */
function assertKeysOnce(text: string): void {
  // The keys so far of each object around the place; a list has none.
  const around: (Set<string> | undefined)[] = [];
  let last = "";
  let lastAt = 0;
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === "{") around.push(new Set());
    else if (token === "[") around.push(undefined);
    else if (token === "}" || token === "]") around.pop();
    else if (token === ":") {
      const keys = around.at(-1)!;
      const key: string = JSON.parse(last);
      if (keys.has(key)) throw givenTwice(text, key, lastAt);
      keys.add(key);
    }
    last = token;
    lastAt = index;
  }
}

function givenTwice(text: string, key: string, at: number): SyntaxError {
  const before = text.slice(0, at).split("\n");
  return new SyntaxError(
    `"${printable(key)}" is given twice in one object, again in line ` +
      `${before.length}, column ${before.at(-1)!.length + 1}`,
  );
}
