/**
 * What keeps a host at a state, by a real kernel: modules that are loaded, and a
 * watch that mends what drifts.
 */
import { assertEquals } from "@std/assert";
import { apply, restore, watch } from "../../../lib/provision/mod.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { addressOf, host, machine } from "./setup.ts";

const EDU = addressOf("edu0");
/** It is not loaded at the start, and needs another. */
const MODULE = "mtty";

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

Deno.test(
  "watch() notices by the kernel's events that a function was unbound, and binds it again",
  {
    // Without an IOMMU vfio-pci takes nothing, and watch() tries it forever.
    ignore: machine.iommu === "none",
  },
  async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    const state = { functions: [{ select: EDU, driver: "vfio-pci" }] };
    await watch(host, state, {
      signal: stop.signal,
      // Without an event nothing would be looked at in time.
      interval: 600_000,
      onEvent({ event }) {
        seen.push(event);
        if (event === "failed") stop.abort();
        if (event === "settled") {
          void kernel.writeFileAsync(
            "/sys/bus/pci/drivers/vfio-pci/unbind",
            EDU,
          );
        }
        if (event === "mended" && seen.includes("settled")) stop.abort();
      },
    });
    assertEquals(seen, ["drifted", "mended", "settled", "drifted", "mended"]);
    assertEquals(host.function(EDU).driver, "vfio-pci");
    const { left } = await restore(host);
    assertEquals(left, []);
  },
);
