import { assertEquals } from "@std/assert";
import { breakLines, counted } from "../../lib/text.ts";

Deno.test("counted() writes one thing, and several", () => {
  assertEquals(
    [0, 1, 2].map((count) => counted(count, "line")),
    ["0 lines", "1 line", "2 lines"],
  );
});

Deno.test("breakLines() breaks between words, and indents all lines but the first", () => {
  const words = "one two three four five six seven eight";
  assertEquals(breakLines("hint: ", words, Infinity), [`hint: ${words}`]);
  assertEquals(breakLines("hint: ", words, 36), [
    "hint: one two three four five six",
    "      seven eight",
  ]);
});

Deno.test("breakLines() keeps lines, and their indentation", () => {
  assertEquals(
    breakLines("passthru: ", "a\n  b b b b b b b b b b b b b b b b", 32),
    ["passthru: a", "  b b b b b b b b b b b b b b b", "  b"],
  );
});

Deno.test("breakLines() does not count the sequences of styles", () => {
  const green = `\x1b[32m${"v".repeat(10)}\x1b[39m`;
  const text = `${green} ${green} ${green}`;
  assertEquals(breakLines("", text, 32), [text]);
});

Deno.test("breakLines() leaves a word that is longer than the room", () => {
  const long = "x".repeat(50);
  assertEquals(breakLines("a ", `b ${long} c`, 40), [
    "a b",
    `  ${long}`,
    "  c",
  ]);
});
