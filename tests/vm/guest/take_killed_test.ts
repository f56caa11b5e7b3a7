/**
 * Scripts that take devices and are killed, and a device on another bus than
 * PCI, on a real kernel. The sandbox kills at each call (`tests/faults/`).
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { VfioError } from "../../../mod.ts";
import { restore, status } from "../../../lib/provision/mod.ts";
import { run } from "../command.ts";
import { triesAll } from "../machine_env.ts";
import { Script } from "./script.ts";
import { addressOf, host, machine } from "./setup.ts";
import { assertBecomes, settled } from "./sysfs_state.ts";

const ignore = machine.iommu === "none" || !triesAll(machine);

/** The journals of taken devices. */
function journals(): string[] {
  return [...Deno.readDirSync("/run/passthru")].map(({ name }) => name)
    .filter((name) => name.startsWith("take-"));
}

/** Runs the command. */
async function passthru(...words: string[]): Promise<string> {
  return await run([
    Deno.execPath(),
    ...["run", "--no-prompt", "--no-check", "--no-lock", "--allow-ffi"],
    ...["--config", "deno.offline.json", "scripts/passthru.ts"],
    ...words,
  ]);
}

Deno.test({
  name:
    "passthru restore gives back what a script has taken once that was killed, and not before",
  ignore,
  async fn() {
    const nvme = host.function(addressOf("nvme0"));
    const e1000e = host.function(addressOf("e1000e0"));
    const before = [await settled(nvme.path), await settled(e1000e.path)];
    {
      await using script = await Script.start(
        {},
        async ({ Host, send }, ...addresses) => {
          const host = new Host();
          await Promise.all(addresses.map((each) => host.take(each)));
          send(addresses.map((each) => host.function(each).driver));
          await new Promise(() => setTimeout(() => {}, 1_000_000));
        },
        nvme.address,
        e1000e.address,
      );
      assertEquals(await script.next(), ["vfio-pci", "vfio-pci"]);
      assertEquals(journals().length, 2);
      const { undone, left } = await restore(host);
      assertEquals(undone, []);
      assertEquals(left.map(({ error }) => (error as VfioError).code), [
        "DEVICE_BUSY",
        "DEVICE_BUSY",
      ]);
      assertMatch(String(left[0]!.error), /deno \(process \d+\) has taken it/);
      assertEquals((await status(host)).map(({ held }) => held), [true, true]);
    }
    assertEquals((await status(host)).map(({ held }) => held), [false, false]);
    const shown = await passthru("restore");
    for (const { address } of [nvme, e1000e]) {
      assertStringIncludes(shown, `undone: ${address}: driver vfio-pci`);
    }
    assertEquals(journals(), []);
    await assertBecomes(nvme.path, before[0]!);
    await assertBecomes(e1000e.path, before[1]!);
  },
});

/** A sample of moments, in milliseconds from the first take on. */
const MOMENTS = [0, 300, 700];

Deno.test({
  name:
    "restore() gives a device back when the script was killed while it took it or gave it back",
  ignore,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    for (const moment of MOMENTS) {
      {
        await using script = await Script.start(
          {},
          async ({ Host, send }, address) => {
            const host = new Host();
            send("ready");
            for (;;) await (await host.take(address)).giveBack();
          },
          fn.address,
        );
        assertEquals(await script.next(), "ready");
        await new Promise((resolve) => setTimeout(resolve, moment));
      }
      const { left } = await restore(host, { timeout: 60_000 });
      assertEquals(left, [], `${moment} ms`);
      assertEquals(journals(), [], `${moment} ms`);
      await assertBecomes(fn.path, before);
    }
  },
});

/**
 * The kernel has no VFIO driver for platform devices on x86. This driver has no
 * probe function, so that it binds any of them (`kernel/time/alarmtimer.c`).
 */
const OTHER_DRIVER = "alarmtimer";

Deno.test({
  name: "Host.take() and giveBack() move a platform device to another driver",
  ignore,
  async fn() {
    for (const name of ["serial8250", "PNP0B00:00"]) {
      const path = `/sys/bus/platform/devices/${name}`;
      const device = host.find(path);
      const { driver } = device;
      const taken = await host.take(path, { driver: OTHER_DRIVER });
      assertEquals([device.driver, taken.previousDriver], [
        OTHER_DRIVER,
        driver,
      ]);
      const override = () => Deno.readTextFileSync(`${path}/driver_override`);
      assertEquals(override(), `${OTHER_DRIVER}\n`);
      await taken.giveBack();
      assertEquals([device.driver, override()], [driver, "(null)\n"]);
    }
    assertEquals(journals(), []);
  },
});
