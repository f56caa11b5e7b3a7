/**
 * Recording this machine. Nothing here changes anything.
 */
import { assertEquals } from "@std/assert";
import { Host } from "../../lib/host/host.ts";

// What the kernel loads of libc stays loaded, and is no test's leak.
new Host().snapshot();

/** What a host says of its functions. */
function listing(host: Host): unknown[] {
  return host.functions().map((fn) => ({
    path: fn.path,
    modalias: fn.modalias,
    revision: fn.revision,
    numaNode: fn.numaNode,
    driver: fn.driver,
    override: fn.driverOverride,
    group: fn.iommuGroup?.id,
    type: fn.iommuGroup?.type,
    bars: fn.bars,
    resets: fn.resetMethods,
    virtual: fn.virtualFunctions.map(({ address }) => address),
  }));
}

Deno.test("Host.snapshot() of this machine is simulated as this machine", () => {
  const host = new Host();
  const recording = JSON.parse(JSON.stringify(host.snapshot()));
  const simulated = Host.simulated(recording);
  assertEquals(listing(simulated), listing(host));
  assertEquals(JSON.parse(JSON.stringify(simulated.snapshot())), recording);
});
