/**
 * Writes that hang in the kernel, and the processes that made them.
 */
import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { refused } from "../../failures.ts";
import { OtherProcess } from "./other_process.ts";
import { Script } from "./script.ts";
import { forEachBackend, host } from "./setup.ts";
import { until } from "./until.ts";

const DRIVERS = "/sys/bus/pci/drivers";

/** The numbers of the processes that write for others. */
function writers(): string[] {
  const { kernel } = host;
  return kernel.readdir("/proc").filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return kernel.readFile(`/proc/${pid}/comm`) === "passthru-write\n";
      } catch (error) {
        if (error instanceof KernelError) return false;
        throw error;
      }
    });
}

forEachBackend(
  "A process ends at once when its write hangs, and the write completes when it can",
  async (setup) => {
    const fn = await setup.take("edu0");
    await using holder = new OtherProcess();
    await using _device = await holder.attach(fn.address, setup.backend);
    await using script = await Script.start(
      {},
      async ({ Host, send }, path, address) => {
        const { kernel } = new Host();
        let done = false;
        const writing = kernel.writeFileAsync(path, address)
          .finally(() => done = true);
        // The thread is free, so timers go on.
        const ticks = async () => {
          for (let tick = 0; tick < 20; tick++) {
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        };
        await Promise.race([writing, ticks()]);
        send({ done });
        Deno.exit(7);
      },
      `${DRIVERS}/vfio-pci/unbind`,
      fn.address,
    );
    assertEquals(await script.next(), { done: false });
    const { code, signal, stderr } = await script.end();
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
    await until(() => writers().length === 0, "the end of the write");
    assertEquals(fn.driver, undefined);
    await host.kernel.writeFileAsync(`${DRIVERS}/vfio-pci/bind`, fn.address);
    assertEquals(fn.driver, "vfio-pci");
  },
);

forEachBackend(
  "Host.take() throws TIMED_OUT when another process is moving the function",
  async (setup) => {
    const fn = await setup.take("edu0");
    await using holder = new OtherProcess();
    await using _device = await holder.attach(fn.address, setup.backend);
    const { kernel } = host;
    const unbind = kernel
      .writeFileAsync(`${DRIVERS}/vfio-pci/unbind`, fn.address);
    await until(() => fn.driver === undefined, "the start of the unbinding");
    let ticks = 0;
    const timer = setInterval(() => ticks++, 10);
    // Before Linux 7.0 not even its driver_override can be read.
    const options = { timeout: 2000, insist: true };
    await refused("TIMED_OUT", () => host.take(fn, options));
    clearInterval(timer);
    // A blocked thread would have one tick at most, at its end.
    assertGreater(ticks, 1);
    await holder.detach();
    await unbind;
    // This one waits until the abandoned one is undone.
    await using _again = await host.take(fn, { timeout: 60_000 });
    assertEquals(fn.driver, "vfio-pci");
  },
);
