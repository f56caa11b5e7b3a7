import { assertEquals, assertThrows } from "@std/assert";
import { readJunit, sum, summary } from "../../scripts/dev/outcome.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="7" failures="1" errors="0" time="0.010">
    <testsuite name="./a_test.ts" tests="6" disabled="2" errors="0" failures="1">
        <testcase name="&lt;testsuite tests=&quot;9&quot;&gt;" classname="./a_test.ts" time="0.250" line="1" col="6">
        </testcase>
        <testcase name="a" classname="./a_test.ts" time="1.132" line="1" col="6">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="a &gt; b" classname="./a_test.ts" time="1.130" line="1" col="67">
        </testcase>
    </testsuite>
    <testsuite name="./b_test.ts" tests="1" disabled="0" errors="0" failures="0">
    </testsuite>
</testsuites>
`;

Deno.test("readJunit() adds up the suites, steps included", () => {
  const { times: _, ...counts } = readJunit(REPORT);
  assertEquals(counts, { passed: 4, failed: 1, ignored: 2 });
});

Deno.test("readJunit() returns the times of tests, not those of their steps", () => {
  assertEquals(readJunit(REPORT).times, [
    { name: '<testsuite tests="9">', seconds: 0.25 },
    { name: "a", seconds: 1.132 },
  ]);
});

Deno.test("readJunit() throws when the report is cut short", () => {
  assertThrows(() => readJunit(""), SyntaxError);
  assertThrows(
    () => readJunit(`<testsuites tests="3"><testsuite tests="3">`),
    SyntaxError,
  );
});

Deno.test("summary() counts skipped tests when there are some", () => {
  const some = { passed: 2, failed: 1, ignored: 0, times: [] };
  assertEquals(summary(some), "2 passed, 1 failed");
  assertEquals(
    summary(sum([some, { passed: 1, failed: 0, ignored: 3, times: [] }])),
    "3 passed, 1 failed, 3 skipped",
  );
});
