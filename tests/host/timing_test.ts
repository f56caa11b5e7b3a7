import { assertEquals } from "@std/assert";
import { timing } from "../../scripts/dev/timing.ts";

function ran(name: string, seconds: number, tests: Record<string, number>) {
  const times = Object.entries(tests)
    .map(([name, seconds]) => ({ name, seconds }));
  return {
    name,
    seconds,
    outcome: { passed: times.length, failed: 0, ignored: 0, times },
  };
}

Deno.test("timing() lists each part once, and the slowest tests in order", () => {
  const text = timing([
    ran("unit", 4.2, { quick: 0.1 }),
    ran("testbed", 60, { slow: 30, slower: 31 }),
    ran("testbed", 30.5, { middling: 9 }),
  ], 70);
  assertEquals(
    text,
    `── how long each part took
       4.2 s  unit
  1 min 30 s  testbed
  1 min 10 s  in all, guests side by side
── the slowest tests
      31.0 s  testbed: slower
      30.0 s  testbed: slow
       9.0 s  testbed: middling
       0.1 s  unit: quick`,
  );
});

Deno.test("timing() lists ten tests when there are more", () => {
  const many = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`test ${i}`, i]),
  );
  const tests = timing([ran("unit", 66, many)], 66).split("\n").slice(4);
  assertEquals(tests.length, 10);
  assertEquals(tests[0], "      11.0 s  unit: test 11");
});
