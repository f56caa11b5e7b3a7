import { assertEquals, assertStringIncludes } from "@std/assert";
import { call, json } from "../passthru_bench.ts";
import { A, HOST } from "./state_bench.ts";

Deno.test("passthru doctor exits with 4 when the host is not fit, and 0 when it is", async () => {
  const fit = await call(HOST, ["doctor"]);
  assertEquals(fit.code, 0, fit.out);
  const without = {
    functions: { [A]: { id: "8086:10d3" } },
    iommu: "none",
  } as const;
  const { code, out } = await call(without, ["doctor"], {
    width: 80,
    colour: true,
  });
  assertEquals(code, 4);
  assertStringIncludes(out, "\x1b[31mfail\x1b[39m  iommu");
  const shown = await json(without, ["doctor", A]);
  assertEquals([shown.fit, shown.functions], [false, [A]]);
  assertEquals(Object.keys(shown.findings[0]), [
    "check",
    "verdict",
    "device",
    "text",
    "remedy",
  ]);
  assertEquals((await call(HOST, ["doctor", "--memory", "x"])).code, 2);
});
