/**
 * Writes that the kernel does not let go of, and the processes that made them.
 */
import {
  assertEquals,
  assertGreater,
  assertLess,
  assertThrows,
} from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { refused } from "../../failures.ts";
import { OtherProcess } from "./other_process.ts";
import { Script } from "./script.ts";
import { forEachBackend, host } from "./setup.ts";

const DRIVERS = "/sys/bus/pci/drivers";

/** Waits until `condition` holds, 10 s at most. */
async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !condition();) {
    if (performance.now() > end) throw new Error("It did not come to that");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The processes that write for others: their numbers. */
function writers(): string[] {
  const { kernel } = host;
  return kernel.readdir("/proc").filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return kernel.readFile(`/proc/${pid}/comm`) === "dd\n";
      } catch (error) {
        if (error instanceof KernelError) return false;
        throw error;
      }
    });
}

forEachBackend(
  "A process ends at once when a write of its own hangs, which goes on when it can",
  async (setup) => {
    const fn = await setup.take("edu0");
    await using holder = new OtherProcess();
    await using _device = await holder.attach(fn.address, setup.backend);
    await using script = await Script.start(
      {},
      async ({ Host, tell }, path, address) => {
        const { kernel } = new Host();
        let done = false;
        const writing = kernel.writeFileAsync(path, address)
          .finally(() => done = true);
        let ticks = 0;
        const timer = setInterval(() => ticks++, 10);
        const limit = new Promise((resolve) => setTimeout(resolve, 500));
        await Promise.race([writing, limit]);
        clearInterval(timer);
        tell({ done, free: ticks > 10 });
        Deno.exit(7);
      },
      `${DRIVERS}/vfio-pci/unbind`,
      fn.address,
    );
    assertEquals(await script.next(), { done: false, free: true });
    const start = performance.now();
    const { code, signal, stderr } = await script.end();
    assertLess(performance.now() - start, 2000);
    assertEquals({ code, signal, stderr }, {
      code: 7,
      signal: null,
      stderr: "",
    });
    assertEquals(writers().length, 1);
    assertThrows(
      () => host.kernel.writeFile(`${DRIVERS}/vfio-pci/bind`, "nothing"),
      KernelError,
      "ENODEV",
    );
    await holder.detach();
    await until(() => writers().length === 0);
    assertEquals(fn.driver, undefined);
    await host.kernel.writeFileAsync(`${DRIVERS}/vfio-pci/bind`, fn.address);
    assertEquals(fn.driver, "vfio-pci");
  },
);

forEachBackend(
  "Host.take() gives up in time while a function is moved by somebody else",
  async (setup) => {
    const fn = await setup.take("edu0");
    await using holder = new OtherProcess();
    await using _device = await holder.attach(fn.address, setup.backend);
    const { kernel } = host;
    const unbind = kernel
      .writeFileAsync(`${DRIVERS}/vfio-pci/unbind`, fn.address);
    await until(() => fn.driver === undefined);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 10);
    const start = performance.now();
    // Before Linux 7.0 not even its driver_override can be read.
    const options = { timeout: 2000, insist: true };
    await refused("TIMED_OUT", () => host.take(fn, options));
    assertLess(performance.now() - start, 8000);
    clearInterval(timer);
    assertGreater(ticks, 10);
    await holder.detach();
    await unbind;
    // Its turn comes when the one that was given up on is undone.
    await host.take(fn, { timeout: 60_000 });
    assertEquals(fn.driver, "vfio-pci");
  },
);
