import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { diagnose } from "../../../lib/doctor/diagnose.ts";
import { diagnosisText } from "../../../lib/doctor/text.ts";
import { A, diagnosisOf, ONBOARD } from "./fit_host.ts";

Deno.test("diagnosisText() begins each line with a verdict, and says what to do", () => {
  const text = diagnosisText(diagnosisOf({
    fn: { group: null },
    functions: { "0000:00:03.0": ONBOARD },
  }));
  const lines = text.trimEnd().split("\n");
  for (const line of lines.slice(0, -1)) {
    assertMatch(line, /^(?:(?:pass|warn|fail) {2}[a-z-]+ {2,}\S| {6,}→ \S)/);
  }
  assertMatch(
    text,
    /^fail {2}group {2,}0000:01:00\.0: it has no IOMMU group: /m,
  );
  assertEquals(
    lines.at(-1),
    `This host is not fit for passthrough of ${A}: 1 failure`,
  );
});

Deno.test("diagnosisText() writes a text once when it is the same for several devices", () => {
  const functions = Object.fromEntries(
    [3, 4, 5, 6, 7, 8].map((slot) => [
      `0000:00:0${slot}.0`,
      { id: "8086:10d3", class: 0x020000, reset: [] },
    ]),
  );
  const diagnosis = diagnose(simulate({ functions }));
  assertEquals(
    diagnosis.findings.filter(({ check }) => check === "reset").length,
    6,
  );
  const lines = diagnosisText(diagnosis).split("\n");
  assertEquals(
    lines.filter((line) => line.startsWith("warn  reset")).length,
    1,
  );
  assertStringIncludes(
    lines.find((line) => line.startsWith("warn  reset"))!,
    "0000:00:03.0, 0000:00:04.0, 0000:00:05.0, 3 more: nothing can reset it",
  );
});

Deno.test("diagnosisText() breaks lines at words when it gets a width", () => {
  const diagnosis = diagnosisOf({ fn: { reset: [], group: null } });
  const lines = diagnosisText(diagnosis, 72).trimEnd().split("\n");
  const widths = lines.slice(0, -1).map((line) => line.length);
  assertEquals(widths.every((width) => width <= 72), true, lines.join("\n"));
  const words = (text: string) => text.split(/\s+/).join(" ");
  assertEquals(words(lines.join("\n")), words(diagnosisText(diagnosis).trim()));
});
