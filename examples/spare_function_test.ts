/**
 * The test of `spare_function.ts`, on hosts that exist in memory only: it needs
 * no permission and no machine.
 *
 *     deno test examples/spare_function_test.ts
 *
 * @module
 */
import { simulate } from "../lib/sim/mod.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
// In a test of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, type Host, VfioDevice, VfioError } from "../mod.ts";
import { SimulatedHost } from "../lib/sim/mod.ts";
import { main } from "./spare_function.ts";

const SPARE = "0000:01:00.0";

/** Asserts that the script has put back the function, and left nothing open. */
function assertPutBack(host: Host, driver: string | undefined): void {
  const fn = host.function(SPARE);
  assertEquals([fn.driver, fn.driverOverride], [driver, undefined]);
  assertEquals(host.kernel.readdir("/proc/self/fd"), []);
}

Deno.test("main() shows the function, and puts everything back", async () => {
  const host = simulate({
    functions: { [SPARE]: { model: "edu", driver: "edu" } },
  });
  assertEquals(await main(host, SPARE), [
    "0000:01:00.0 is 1234:11e8",
    "registers: 010000ed 00000000 00000000",
    "memory: 1048576 bytes at IOVA 0x100000",
  ]);
  assertPutBack(host, "edu");
});

Deno.test("main() does the same when the kernel has no iommufd", async () => {
  const host = simulate({
    kernel: { release: "6.1.0" },
    functions: { [SPARE]: { model: "edu", driver: "edu" } },
  });
  const [first] = await main(host, SPARE);
  assertEquals(first, "0000:01:00.0 is 1234:11e8");
  assertPutBack(host, "edu");
});

Deno.test("main() names the function in the way when the group is not viable", async () => {
  const host = simulate({
    functions: {
      [SPARE]: { model: "edu", driver: "edu", group: 7 },
      "0000:01:00.1": { id: "8086:10d3", driver: "e1000e", group: 7 },
    },
  });
  const error = await assertRejects(() => main(host, SPARE), VfioError);
  assertEquals(error.code, "GROUP_NOT_VIABLE");
  assertStringIncludes(error.message, "0000:01:00.1 is bound to e1000e");
  assertPutBack(host, "edu");
});

Deno.test("main() names the process that has the device when it is busy", async () => {
  const host = simulate({
    functions: { [SPARE]: { model: "edu", driver: "vfio-pci" } },
  });
  // A second process on the same machine.
  const qemu = new SimulatedHost(host.machine, { name: "qemu" });
  await using space = new AddressSpace({ host: qemu });
  await using _theirs = await VfioDevice.attach(SPARE, space);

  const error = await assertRejects(() => main(host, SPARE, 50), VfioError);
  assertEquals(error.code, "DEVICE_BUSY");
  assertStringIncludes(error.message, "qemu (process ");
  assertPutBack(host, "vfio-pci");
});

Deno.test("main() puts everything back when it fails midway", async () => {
  const host = simulate({
    // It has no BAR 0, so its registers cannot be mapped.
    functions: { [SPARE]: { id: "8086:10d3", driver: "e1000e", bars: [] } },
  });
  await assertRejects(() => main(host, SPARE), VfioError, "region 0");
  assertPutBack(host, "e1000e");
});
