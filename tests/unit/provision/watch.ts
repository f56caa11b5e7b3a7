import { assertEquals, assertRejects } from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { watch, type WatchEvent } from "../../../lib/provision/watch/watch.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { SimulatedHost } from "../../../lib/sim/mod.ts";

const A = "0000:01:00.0";
const STATE = { functions: [{ select: A, driver: "vfio-pci" }] };
const MACHINE = {
  functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
} as const;

/** A watch that calls `step` for its nth event, and ends after the last. */
async function watched(
  host: SimulatedHost,
  steps: readonly (() => void | Promise<void>)[],
  state: DesiredState = STATE,
): Promise<string[]> {
  const stop = new AbortController();
  const seen: string[] = [];
  await watch(host, state, {
    signal: stop.signal,
    onEvent({ event }: WatchEvent) {
      const step = steps[seen.length];
      seen.push(event);
      queueMicrotask(() => void step?.());
      if (seen.length >= steps.length) stop.abort();
    },
  });
  return seen;
}

async function driverTo(host: SimulatedHost, driver: string): Promise<void> {
  const kernel = host.machine.spawn();
  const { driver: now, path } = host.function(A);
  await kernel.writeFileAsync(`${path}/driver_override`, "\n");
  await kernel.writeFileAsync(`/sys/bus/pci/drivers/${now}/unbind`, A);
  await kernel.writeFileAsync(`/sys/bus/pci/drivers/${driver}/bind`, A);
}

const nothing = () => {};

Deno.test("watch() mends what the kernel says has drifted", async () => {
  const host = simulate(MACHINE);
  const seen = await watched(host, [
    nothing,
    nothing,
    () => driverTo(host, "e1000e"),
    nothing,
    nothing,
  ]);
  assertEquals(
    seen,
    ["drifted", "mended", "settled", "drifted", "mended"]
      .filter((_, i) => i < seen.length),
  );
  assertEquals(host.function(A).driver, "vfio-pci");
});

Deno.test("watch() says once what cannot be mended, and goes on when the device comes", async () => {
  const physical = "0000:01:00.0";
  const host = simulate({
    functions: {
      [physical]: {
        id: "8086:10c9",
        driver: "igb",
        sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
      },
    },
  });
  const { kernel } = host;
  const { path } = host.function(physical);
  const seen = await watched(host, [
    () => kernel.writeFileAsync(`${path}/sriov_numvfs`, "1"),
    nothing,
    nothing,
  ], { functions: [{ select: "0000:01:10.0", driver: "vfio-pci" }] });
  assertEquals(seen, ["failed", "drifted", "mended"]);
});

Deno.test("watch() ends without an error when the signal aborts, and leaves the host", async () => {
  const host = simulate(MACHINE);
  const seen = await watched(host, [nothing, nothing]);
  assertEquals(seen, ["drifted", "mended"]);
  assertEquals(host.function(A).driver, "vfio-pci");
});

Deno.test("watch() throws TypeError for an invalid state", async () => {
  await assertRejects(
    () =>
      watch(new Host({ kernel: simulate().kernel }), { functions: 1 } as never),
    TypeError,
  );
});
