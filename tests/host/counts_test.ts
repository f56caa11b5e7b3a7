import { assertEquals, assertThrows } from "@std/assert";
import { countJunit, sum, summary } from "../../scripts/dev/counts.ts";

Deno.test("countJunit() adds up the suites, steps included", () => {
  assertEquals(
    countJunit(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="7" failures="1" errors="0" time="0.010">
    <testsuite name="./a_test.ts" tests="6" disabled="2" errors="0" failures="1">
        <testcase name="&lt;testsuite tests=&quot;9&quot;&gt;" time="0.001">
        </testcase>
    </testsuite>
    <testsuite name="./b_test.ts" tests="1" disabled="0" errors="0" failures="0">
    </testsuite>
</testsuites>
`),
    { passed: 4, failed: 1, ignored: 2 },
  );
});

Deno.test("countJunit() throws when the report is cut short", () => {
  assertThrows(() => countJunit(""), SyntaxError);
  assertThrows(
    () => countJunit(`<testsuites tests="3"><testsuite tests="3">`),
    SyntaxError,
  );
});

Deno.test("summary() names what was skipped when there is something", () => {
  const some = { passed: 2, failed: 1, ignored: 0 };
  assertEquals(summary(some), "2 passed, 1 failed");
  assertEquals(
    summary(sum([some, { passed: 1, failed: 0, ignored: 3 }])),
    "3 passed, 1 failed, 3 skipped",
  );
});
