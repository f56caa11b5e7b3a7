import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { call, json } from "../passthru_bench.ts";
import { A, B } from "./state_bench.ts";

Deno.test("passthru reset resets by a method when it is named, and restores the order", async () => {
  const host = simulate({
    functions: { [A]: { id: "8086:10d3", reset: ["flr", "bus"] } },
  });
  assertEquals(await json(host, ["reset", A]), { address: A, method: "flr" });
  const { code, out } = await call(host, ["reset", A, "--method", "bus"]);
  assertEquals([code, out], [0, `${A} was reset by bus\n`]);
  assertEquals(host.function(A).resetMethods, ["flr", "bus"]);
});

Deno.test("passthru reset --hot resets the bus, and gives the functions back", async () => {
  const behind = "0000:00:1c.0";
  const host = simulate({
    functions: {
      [A]: { model: "edu", behind, group: 1 },
      [B]: { id: "8086:10d3", driver: "e1000e", behind, group: 1 },
    },
  });
  assertEquals((await json(host, ["show", A])).hotReset, [A, B]);
  assertEquals(await json(host, ["reset", A, "--hot"]), {
    address: A,
    hot: [A, B],
  });
  assertEquals(host.function(B).driver, "e1000e");
  const { out } = await call(host, ["reset", B, "--hot"]);
  assertEquals(out, `the bus of ${B} was reset: ${A}, ${B}\n`);
  const both = await call(host, ["reset", B, "--hot", "--method", "pm"]);
  assertEquals(both.code, 2);
});

Deno.test("passthru reset --hot exits with 1 on a root bus", async () => {
  const host = simulate({ functions: { [A]: { model: "edu" } } });
  assertEquals((await json(host, ["show", A])).hotReset, null);
  const { error } = await json(host, ["reset", A, "--hot"]);
  assertEquals(error.code, "NOT_SUPPORTED");
});

Deno.test("passthru reset exits with 1 when the kernel cannot reset the function", async () => {
  const host = simulate({
    functions: {
      [A]: { id: "8086:10d3", reset: [] },
      [B]: { id: "8086:10d3", reset: ["flr"] },
    },
  });
  assertEquals((await json(host, ["reset", A])).error.code, "NOT_SUPPORTED");
  const { error } = await json(host, ["reset", B, "--method", "pm"]);
  assertEquals([error.code, error.hint], [
    "NOT_SUPPORTED",
    "the kernel can reset it by flr",
  ]);
});
