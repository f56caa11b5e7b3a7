import { assertEquals, assertMatch } from "@std/assert";
import { GuestDied } from "./errors.ts";
import { TestReport } from "./test_report.ts";

/** Feeds a report in small pieces, as a slow guest does. */
function feed(text: string): { report: TestReport; told: string[] } {
  const told: string[] = [];
  const report = new TestReport("m", (line) => told.push(line));
  const bytes = new TextEncoder().encode(text);
  for (let i = 0; i < bytes.length; i += 5) {
    report.push(bytes.subarray(i, i + 5));
  }
  return { report, told };
}

const WHOLE = `running 3 tests from ./a_test.ts
first ... ok (1ms)
second ...
------- output -------
third ... ok (9ms)
----- output end -----
second ... FAILED (2ms)
third ... ignored (0ms)
steps ...
  inner ... ok (0ms)
steps ... ok (3ms)

 ERRORS 

second => ./a_test.ts:2:6
error: Error: boom

FAILED | 2 passed (1 step) | 1 failed | 1 ignored (7ms)
`;

Deno.test("TestReport tells each result with the machine", () => {
  const { told } = feed(WHOLE);
  assertEquals(told.filter((line) => !line.startsWith(" ")), [
    "ok m: first (1ms)",
    "FAILED m: second (2ms)",
    "ignored m: third (0ms)",
    "ok m: steps > inner (0ms)",
    "ok m: steps (3ms)",
  ]);
});

Deno.test("TestReport tells what a test printed and why it failed", () => {
  const { told } = feed(WHOLE);
  assertEquals(told.filter((line) => line.startsWith(" ")), [
    "    third ... ok (9ms)",
    "     ERRORS ",
    "    second => ./a_test.ts:2:6",
    "    error: Error: boom",
  ]);
});

Deno.test("TestReport.end() counts tests and steps", () => {
  const { report } = feed(WHOLE);
  assertEquals(report.end(1), { passed: 3, failed: 1, ignored: 1 });
});

Deno.test("TestReport.end() counts a failure when no module loaded", () => {
  const { report, told } = feed("error: Module not found\n");
  assertEquals(report.end(1), { passed: 0, failed: 1, ignored: 0 });
  assertEquals(told.at(-1), "FAILED m: deno test ended with exit code 1");
});

Deno.test("TestReport.end() counts a failure when the run stopped early", () => {
  const { report } = feed("running 2 tests from ./a_test.ts\na ... ok (1ms)\n");
  assertEquals(report.end(0), { passed: 1, failed: 1, ignored: 0 });
});

Deno.test("TestReport.died() names the test that was running", () => {
  const { report, told } = feed("a ... ok (1ms)\nb ...\n  inner ...");
  const counts = report.died(new GuestDied("panic", "last words"));
  assertEquals(counts, { passed: 1, failed: 1, ignored: 0 });
  assertEquals(told[1], "FAILED m: b > inner");
  assertMatch(told.join("\n"), /panic[^]*last words/);
});
