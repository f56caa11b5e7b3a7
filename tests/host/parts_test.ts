import { assert, assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";
import { typescriptFiles } from "../../scripts/dev/files.ts";
import { partsOf } from "../../scripts/dev/parts.ts";

Deno.test("partsOf() finds a part for each test of this checkout", async () => {
  const tests = (await Array.fromAsync(typescriptFiles(ROOT, "")))
    .filter((path) => path.endsWith("_test.ts"));
  assert(tests.includes("tests/host/parts_test.ts"));
  assertEquals(tests.filter((path) => partsOf(path).length === 0), []);
});

Deno.test("partsOf() sorts files by folder", () => {
  assertEquals(partsOf("tests/unit/a_test.ts"), ["unit"]);
  assertEquals(partsOf("tests/unit/fake.ts"), []);
  assertEquals(partsOf("examples/a_test.ts"), ["unit"]);
  assertEquals(partsOf("examples/a.ts"), []);
  assertEquals(partsOf("tests/conformance/a/b_test.ts"), ["unit", "vm"]);
  assertEquals(partsOf("tests/vm/guest/a_test.ts"), ["vm"]);
  assertEquals(partsOf("tests/vm/report_test.ts"), ["host"]);
  assertEquals(partsOf("lib/host/host.ts"), ["docs"]);
  assertEquals(partsOf("scripts/dev/test.ts"), []);
});
