/** Lets a function sleep, on a kernel that suspends devices (CONFIG_PM). */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "../../../lib/host/sysfs.ts";
import { failure } from "../../failures.ts";
import { forEachBackend, host, type Setup } from "./setup.ts";
import { until } from "./until.ts";

/** The type of VLAN tags of an Intel 82574. */
const VLAN_TYPE = 0x38;

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
    const mapped = device.region(0).map();
    const before = mapped.read32(VLAN_TYPE);
    {
      await using _sleep = await features.sleep();
      await isSuspended();
      // The kernel would end the process by SIGBUS.
      const error = failure("INACCESSIBLE", () => mapped.read32(VLAN_TYPE));
      assertStringIncludes(error.message, "it sleeps");
      assertEquals(device.config.read16(0), 0x8086);
      await isSuspended();
      failure("INACCESSIBLE", () => mapped.write32(VLAN_TYPE, 0));
    }
    assertEquals(status(), "active");
    assertEquals(mapped.read32(VLAN_TYPE), before);
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
    const mapped = device.region(0).map();
    failure("INACCESSIBLE", () => mapped.read32(VLAN_TYPE));
    assertEquals(device.config.read16(0), 0x8086);
    await woken;
    assertEquals(status(), "active");
    mapped.read32(VLAN_TYPE);
    await sleep.wake();
    // It can sleep again, and a detach ends that.
    await features.sleep();
    await isSuspended();
    await device.detach();
  },
);
