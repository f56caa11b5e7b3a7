import { assertEquals, assertMatch } from "@std/assert";
import { FAILED } from "../../scripts/dev/outcome.ts";
import { GuestDied } from "./errors.ts";
import { TestReport } from "./test_report.ts";

/** Feeds a report in small pieces, as a slow guest does. */
function feed(text: string, log: string[] = []) {
  const printed: string[] = [];
  const report = new TestReport("m", (lines) => printed.push(lines), {
    take: () => log.splice(0),
  });
  const bytes = new TextEncoder().encode(text);
  for (let i = 0; i < bytes.length; i += 5) {
    report.push(bytes.subarray(i, i + 5));
  }
  return { report, printed };
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

Deno.test("TestReport prints each result with the machine and the output before it", () => {
  const { printed } = feed(WHOLE);
  assertEquals(printed, [
    "ok m: first (1ms)",
    "FAILED m: second (2ms)\n    third ... ok (9ms)",
    "ignored m: third (0ms)",
    "ok m: steps > inner (0ms)",
    "ok m: steps (3ms)",
  ]);
});

Deno.test("TestReport.end() prints the error when a test failed", () => {
  const { report, printed } = feed(WHOLE);
  report.end(1);
  assertEquals(printed.slice(5), [
    "m, after its tests:\n     ERRORS \n" +
    "    second => ./a_test.ts:2:6\n    error: Error: boom",
  ]);
});

Deno.test("TestReport prints the kernel's messages when a test failed", () => {
  const log = ["[ 1.0] a fault"];
  const { report, printed } = feed("a ... FAILED (2ms)\n", log);
  assertEquals(printed, ["FAILED m: a (2ms)\n    kernel: [ 1.0] a fault"]);
  log.push("[ 2.0] nothing unusual");
  report.push(new TextEncoder().encode("b ... ok (1ms)\n"));
  log.push("[ 3.0] another");
  report.push(new TextEncoder().encode("c ... FAILED (2ms)\n"));
  assertEquals(printed.slice(1), [
    "ok m: b (1ms)",
    "FAILED m: c (2ms)\n    kernel: [ 3.0] another",
  ]);
});

Deno.test("TestReport reads a result when Deno printed that it waits for the test", () => {
  const { report, printed } = feed(`a ...'a' has been running for over (1m0s)
                          ok (1m12s)
b ...
  inner ...'b' has been running for over (1m0s)
         FAILED (2s)
b ... FAILED (due to 1 failed step) (3s)
`);
  assertEquals(printed, [
    "ok m: a (1m12s)",
    "FAILED m: b > inner (2s)",
    "FAILED m: b (due to 1 failed step) (3s)",
  ]);
  assertEquals(report.end(1), {
    passed: 1,
    failed: 3,
    ignored: 0,
    times: [{ name: "a", seconds: 72 }, { name: "b", seconds: 3 }],
  });
});

Deno.test("TestReport.end() counts tests and steps, and returns the tests' times", () => {
  const { report } = feed(WHOLE);
  assertEquals(report.end(1), {
    passed: 3,
    failed: 1,
    ignored: 1,
    times: [
      { name: "first", seconds: 0.001 },
      { name: "second", seconds: 0.002 },
      { name: "steps", seconds: 0.003 },
    ],
  });
});

Deno.test("TestReport.end() counts a failure when no module loaded", () => {
  const { report, printed } = feed("error: Module not found\n");
  assertEquals(report.end(1), FAILED);
  assertEquals(printed, [
    "FAILED m: deno test ended with exit code 1\n" +
    "    error: Module not found",
  ]);
});

Deno.test("TestReport.end() counts a failure when the run stopped early", () => {
  const { report } = feed("running 2 tests from ./a_test.ts\na ... ok (1ms)\n");
  const { passed, failed, ignored } = report.end(0);
  assertEquals([passed, failed, ignored], [1, 1, 0]);
});

Deno.test("TestReport.died() names the test that was running", () => {
  const { report, printed } = feed("a ... ok (1ms)\nb ...\n  inner ...");
  const { passed, failed } = report.died(new GuestDied("panic", "last words"));
  assertEquals([passed, failed], [1, 1]);
  assertMatch(printed[1]!, /^FAILED m: b > inner\n[^]*panic[^]*last words/);
});
