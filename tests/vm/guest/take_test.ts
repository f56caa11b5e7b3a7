/**
 * Taking functions from their drivers, on a real kernel.
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";
import { refused } from "../../failures.ts";
import { waitForLine } from "./wait_for_line.ts";
import { addressOf, host, machine } from "./setup.ts";
import { assertBecomes, settled } from "./sysfs_state.ts";

const { kernel } = host;
const isolated = machine.iommu !== "none";

for (
  const [name, driver] of [["nvme0", "nvme"], ["e1000e0", "e1000e"]] as const
) {
  Deno.test({
    name:
      `Host.take() and giveBack() leave sysfs as it was when ${driver} has it`,
    ignore: !isolated,
    async fn() {
      const fn = host.function(addressOf(name));
      const before = await settled(fn.path);
      for (let round = 0; round < 2; round++) {
        const taken = await host.take(fn);
        assertEquals(taken.previousDriver, driver);
        assertEquals(fn.driver, "vfio-pci");
        assertEquals(fn.driverOverride, "vfio-pci");
        const { group, cdev } = vfioNodes(fn);
        assertEquals(group, `/dev/vfio/${fn.iommuGroup?.id}`);
        assert(Deno.statSync(group!).isCharDevice);
        assertEquals(cdev !== undefined, machine.backends.includes("iommufd"));
        if (cdev !== undefined) assert(Deno.statSync(cdev).isCharDevice);
        assertEquals(fn.iommuGroup?.viability(), { viable: true });
        await taken.giveBack();
        assertEquals(fn.driver, driver);
        await assertBecomes(fn.path, before);
      }
    },
  });
}

/**
 * Returns a function that has had a driver and has none now. A first driver
 * leaves permanent traces: the power state is known, and `waiting_for_supplier`
 * is gone.
 */
async function driverless(name: string): Promise<PciFunction> {
  const fn = host.function(addressOf(name));
  await (await host.take(fn)).giveBack();
  assertEquals(fn.driver, undefined);
  return fn;
}

Deno.test({
  name: "Host.take() takes a function when it has no driver",
  ignore: !isolated,
  async fn() {
    const fn = await driverless("edu0");
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    assertEquals(taken.previousDriver, undefined);
    await taken.giveBack();
    assertEquals(fn.driver, undefined);
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name:
    "Host.take() works when a process was killed while it took the function",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const script = `
      echo vfio-pci > ${fn.path}/driver_override
      echo ${fn.address} > ${fn.path}/driver/unbind
      echo halfway
      read _
    `;
    const child = new Deno.Command("sh", {
      args: ["-c", script],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    await waitForLine(child, "halfway");
    child.kill("SIGKILL");
    await child.status;
    await child.stdin.abort();
    const taken = await host.take(fn);
    assertEquals(taken.previousDriver, undefined);
    assertEquals(taken.previousOverride, "vfio-pci");
    assertEquals(fn.driver, "vfio-pci");
    await taken.giveBack();
    assertEquals(fn.driver, undefined);
    assertEquals(fn.driverOverride, "vfio-pci");
    kernel.writeFile(`${fn.path}/driver_override`, "\n");
    kernel.writeFile("/sys/bus/pci/drivers/e1000e/bind", fn.address);
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "Host.take() changes nothing when there is no such driver",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const error = await refused(
      "DRIVER_FAILED",
      () => host.take(fn, { driver: "vfio-nothing" }),
    );
    assertEquals(error.hint, "modprobe vfio-nothing");
    assertEquals(await settled(fn.path), before);
  },
});

Deno.test({
  name: "Host.take() gives the function back when the driver refuses it",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    // This driver takes bridges, and refuses other functions.
    const error = await refused(
      "DRIVER_FAILED",
      () => host.take(fn, { driver: "pcieport" }),
    );
    assertStringIncludes(String(error.cause), "ENODEV");
    assertEquals(fn.driver, "e1000e");
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "Host.take() throws DRIVER_FAILED when the function is a bridge",
  ignore: !isolated,
  async fn() {
    const bridge = host.functions().find(({ class: code }) =>
      code >> 8 === 0x0604
    );
    assert(bridge !== undefined, "the machine has a bridge");
    await refused("DRIVER_FAILED", () => host.take(bridge));
    assertEquals(bridge.driver, "pcieport");
  },
});

Deno.test({
  name: "Host.take() undoes its changes when it is aborted",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const controller = new AbortController();
    const taking = host.take(fn, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assertRejects(() => taking, Error, "enough");
    // This one waits until the kernel has finished and everything is undone.
    const taken = await host.take(fn);
    assertEquals(taken.previousDriver, "e1000e");
    assertEquals(taken.previousOverride, undefined);
    await taken.giveBack();
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "Host.take() throws NO_IOMMU_GROUP when the machine has no IOMMU",
  ignore: isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    assertEquals(fn.iommuGroup, undefined);
    const error = await refused("NO_IOMMU_GROUP", () => host.take(fn));
    assertStringIncludes(error.message, "this is a virtual machine");
    assertStringIncludes(error.hint!, "intel_iommu=on");
    assertEquals(await settled(fn.path), before);
  },
});

Deno.test({
  name: "Host.take() takes a function without a group when no-IOMMU mode is on",
  ignore: isolated,
  async fn() {
    const mode = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    kernel.writeFile(mode, "Y");
    try {
      const taken = await host.take(fn);
      const { group } = vfioNodes(fn);
      assertEquals(group, `/dev/vfio/noiommu-${fn.iommuGroup?.id}`);
      assertEquals(fn.iommuGroup?.name, "vfio-noiommu");
      await taken.giveBack();
      await assertBecomes(fn.path, before);
    } finally {
      kernel.writeFile(mode, "N");
    }
  },
});
