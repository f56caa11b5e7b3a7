/**
 * Recording this machine. Nothing here changes anything.
 */
import { simulate } from "../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { Host } from "../../lib/host/host.ts";
import { factsOf } from "../function_facts.ts";

// What the kernel loads of libc stays loaded, and is no test's leak.
await new Host().snapshot();

Deno.test("Host.snapshot() of this machine is simulated as this machine", async () => {
  const host = new Host();
  const recording = JSON.parse(JSON.stringify(await host.snapshot()));
  const simulated = simulate(recording);
  assertEquals(
    simulated.functions().map(factsOf),
    host.functions().map(factsOf),
  );
  assertEquals(
    JSON.parse(JSON.stringify(await simulated.snapshot())),
    recording,
  );
});
