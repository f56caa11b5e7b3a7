/**
 * Records this machine, and changes nothing.
 */
import { simulate } from "../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { Host } from "../../lib/host/host.ts";
import { factsOf } from "../function_facts.ts";

// libc is loaded here, and stays loaded, so that no test seems to leak it.
await new Host().snapshot();

Deno.test("simulate() makes the same host as this machine from its Host.snapshot()", async () => {
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
