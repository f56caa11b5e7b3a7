/** The report of random tests: the shortest script that shows a difference. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { assertForAll } from "../../conformance/random/for_all.ts";
import type { Operation } from "../../conformance/random/operations.ts";
import { scriptOf } from "../../conformance/random/script.ts";
import { sequences } from "../../conformance/random/sequences.ts";

Deno.test("assertForAll() reports the shortest sequence that breaks the property", async () => {
  const names = fc.array(fc.constantFrom("map", "close", "reset"), {
    minLength: 20,
    maxLength: 60,
  });
  const closesAfterMap = (sequence: readonly string[]) =>
    sequence.indexOf("close", sequence.indexOf("map") + 1) > 0 &&
    sequence.includes("map");
  const error = await assertRejects(
    () =>
      assertForAll(names, { seed: 1 }, async (sequence) => {
        assertEquals(await Promise.resolve(closesAfterMap(sequence)), false);
      }),
    Error,
  );
  assertEquals(
    error.message,
    'with seed 1, shortened to\n\n"map"\n"close"',
  );
  assertStringIncludes(String(error.cause), "true");
});

Deno.test("assertForAll() prints a sequence of calls as a script that makes them", async () => {
  const error = await assertRejects(
    () =>
      assertForAll<Operation>(
        sequences(true),
        { seed: 1, numRuns: 1000 },
        async (operations) => {
          const is = operations.some(([name, args]) =>
            name === "mapDma" && args.page === "nowhere"
          );
          assertEquals(await Promise.resolve(is), false);
        },
        scriptOf,
      ),
    Error,
  );
  const lines = error.message.split("\n");
  assertEquals(lines.slice(0, 2), ["with seed 1, shortened to", ""]);
  assertStringIncludes(lines[2]!, "import { replay } from");
  assertStringIncludes(lines[2]!, "tests/conformance/random/script.ts");
  assertEquals(lines[4], "await replay([");
  assertStringIncludes(lines[5]!, '[ "mapDma", { container: ');
  assertStringIncludes(lines[5]!, 'page: "nowhere"');
  assertEquals(lines.slice(6), ["]);", ""]);
});
