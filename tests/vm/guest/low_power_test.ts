/** Lets a function sleep, on a kernel that suspends devices (CONFIG_PM). */
import { assertEquals } from "@std/assert";
import { exists } from "../../../lib/host/sysfs.ts";
import { forEachBackend, host, type Setup } from "./setup.ts";
import { until } from "./until.ts";

/** Attaches a function; `undefined` where the kernel suspends none. */
async function suspendable(setup: Setup) {
  const fn = await setup.take("e1000e0");
  const power = `${fn.path}/power`;
  if (!exists(host.kernel, `${power}/runtime_status`)) return undefined;
  const device = await setup.attach("e1000e0", setup.space());
  const status = () => host.kernel.readFile(`${power}/runtime_status`).trim();
  return {
    device,
    features: await device.features(),
    status,
    isSuspended: () =>
      until(() => status() === "suspended", "the function's suspend"),
  };
}

forEachBackend(
  "features.sleep() suspends a function, and an access wakes it for its duration",
  async (setup) => {
    const suspended = await suspendable(setup);
    if (suspended === undefined) return;
    const { device, features, status, isSuspended } = suspended;
    assertEquals(status(), "active");
    {
      await using _sleep = await features.sleep();
      await isSuspended();
      assertEquals(device.config.read16(0), 0x8086);
      await isSuspended();
    }
    assertEquals(status(), "active");
    assertEquals(device.region(0).read32(0) === 0xffff_ffff, false);
  },
);

forEachBackend(
  "features.sleep() with wakeup tells of the access that ends it",
  async (setup) => {
    const suspended = await suspendable(setup);
    if (suspended === undefined) return;
    const { device, features, status, isSuspended } = suspended;
    await using sleep = await features.sleep({ wakeup: true });
    await isSuspended();
    const woken = sleep.woken();
    assertEquals(device.config.read16(0), 0x8086);
    await woken;
    assertEquals(status(), "active");
    await sleep.wake();
    // It can sleep again, and a detach ends that.
    await features.sleep();
    await isSuspended();
    await device.detach();
  },
);
