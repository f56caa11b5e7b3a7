import { assertEquals, assertLess } from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { DeviceTable } from "../../../lib/sim/driver/device_table.ts";
import { simulate } from "../../../lib/sim/mod.ts";

function addressOf(i: number): string {
  const device = (i >> 3).toString(16).padStart(2, "0");
  return `0000:01:${device}.${i & 7}`;
}

/** Counts what an apply to so many functions, and its undoing, ask for. */
async function workOf(count: number) {
  const addresses = Array.from({ length: count }, (_, i) => addressOf(i));
  const simulated = simulate({
    functions: Object.fromEntries(
      addresses.map((address) => [
        address,
        { id: "8086:10d3", driver: "e1000e" },
      ]),
    ),
  });
  let calls = 0;
  const host = new Host({
    kernel: intercept(simulated.kernel, (_, proceed) => {
      calls++;
      return proceed();
    }),
  });
  const state = {
    functions: addresses.map((select) => ({ select, driver: "vfio-pci" })),
  };
  // What a simulated machine looks through, to find one device.
  let devices = 0;
  const all = DeviceTable.prototype[Symbol.iterator];
  DeviceTable.prototype[Symbol.iterator] = function* () {
    for (const device of all.call(this)) {
      devices++;
      yield device;
    }
  };
  try {
    await using applied = await apply(host, state);
    assertEquals(applied.steps.length, count);
  } finally {
    DeviceTable.prototype[Symbol.iterator] = all;
  }
  return { calls, devices };
}

Deno.test("apply() asks no more for each function when there are more functions", async () => {
  const few = await workOf(16);
  const many = await workOf(64);
  assertLess(many.calls, 4.1 * few.calls);
  // Machines have a few other uses of the table, which do not depend on it.
  assertLess(many.devices, 4.1 * few.devices + 64);
});
