/**
 * What keeps a host at a state, by a real kernel: modules, where interrupts go,
 * and a watch that mends what drifts.
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { apply, restore, watch } from "../../../lib/provision/mod.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { addressOf, host } from "./setup.ts";

const NIC = addressOf("e1000e0");
const EDU = addressOf("edu0");
/** Not loaded at the start, and nothing needs it. */
const MODULE = "8021q";

const { kernel } = host;

Deno.test("apply() loads a module with what it needs, and restore() unloads these", async () => {
  const loaded = () =>
    kernel.readFile("/proc/modules").split("\n").map((line) =>
      line.split(" ")[0]!
    ).sort();
  const before = loaded();
  await apply(host, { modules: [MODULE] });
  assertEquals(exists(kernel, `/sys/module/${MODULE}`), true);
  const { left } = await restore(host);
  assertEquals(left, []);
  assertEquals(loaded(), before);
});

Deno.test("apply() sends interrupts to a processor, and restore() sends them back", async () => {
  const { path } = host.function(NIC);
  const paths = kernel.readdir(`${path}/msi_irqs`).map((number) =>
    `/proc/irq/${number}/smp_affinity_list`
  );
  const read = () => paths.map((path) => kernel.readFile(path).trim());
  const before = read();
  await apply(host, { functions: [{ select: NIC, interrupts: "0" }] });
  assertEquals(new Set(read()), new Set(["0"]));
  const { left } = await restore(host);
  assertEquals(left, []);
  assertEquals(read(), before);
});

Deno.test("watch() notices by the kernel's events that a function was unbound, and binds it again", async () => {
  const stop = new AbortController();
  const seen: string[] = [];
  let unboundAt = 0;
  let noticed = Infinity;
  const state = { functions: [{ select: EDU, driver: "vfio-pci" }] };
  await watch(host, state, {
    signal: stop.signal,
    // Without an event nothing would be looked at in time.
    interval: 600_000,
    onEvent({ event }) {
      seen.push(event);
      if (event === "settled") {
        unboundAt = performance.now();
        void kernel.writeFileAsync("/sys/bus/pci/drivers/vfio-pci/unbind", EDU);
      }
      if (unboundAt > 0 && event === "drifted") {
        noticed = performance.now() - unboundAt;
      }
      if (unboundAt > 0 && event === "mended") stop.abort();
    },
  });
  assertEquals(seen.slice(-3), ["settled", "drifted", "mended"]);
  assertEquals(host.function(EDU).driver, "vfio-pci");
  assertNotEquals(noticed, Infinity);
  const { left } = await restore(host);
  assertEquals(left, []);
});
