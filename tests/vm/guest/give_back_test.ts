/**
 * Giving functions back to their drivers, on a real kernel.
 */
import {
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { driverNodes } from "../../../lib/host/mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import { waitForLine } from "./wait_for_line.ts";
import { addressOf, host, machine } from "./setup.ts";
import { assertBecomes, settled } from "./sysfs_state.ts";
import { until } from "./until.ts";

const { kernel } = host;
const isolated = machine.iommu !== "none";

Deno.test({
  name: "TakenDevice.giveBack() gives back a disk that can be read",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("nvme0"));
    const before = await settled(fn.path);
    await (await host.take(fn)).giveBack();
    await assertBecomes(fn.path, before);
    const disk = driverNodes(fn).find(({ kind }) => kind === "disk")!.name;
    // The disk is in sysfs before devtmpfs has its node.
    using file = await until(() => openIfThere(disk), "its node");
    assertEquals(await file.read(new Uint8Array(512)), 512);
  },
});

function openIfThere(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test({
  name: "TakenDevice.giveBack() restores settings when they were made by hand",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const original = await settled(fn.path);
    const control = `${fn.path}/power/control`;
    const power = original[control]; // not in every kernel
    // like driverctl when it does not rebind
    kernel.writeFile(`${fn.path}/driver_override`, "vfio-pci");
    if (power !== undefined) kernel.writeFile(control, "auto");
    try {
      const before = await settled(fn.path);
      assertNotEquals(before, original);
      const taken = await host.take(fn);
      assertEquals(taken.previousOverride, "vfio-pci");
      await taken.giveBack();
      assertEquals(fn.driver, "e1000e");
      await assertBecomes(fn.path, before);
    } finally {
      kernel.writeFile(`${fn.path}/driver_override`, "\n");
      if (power !== undefined) kernel.writeFile(control, power.trim());
    }
  },
});

Deno.test({
  name:
    "TakenDevice.giveBack() throws DEVICE_BUSY when this process has its group open",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    const { group } = vfioNodes(fn);
    const fd = kernel.open(group!, O_RDWR);
    const error = await refused("DEVICE_BUSY", () => taken.giveBack());
    assertStringIncludes(error.message, `(process ${Deno.pid})`);
    assertEquals(fn.driver, "vfio-pci");
    kernel.close(fd);
    await taken.giveBack();
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "TakenDevice.giveBack() names the process when that has its group open",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    const { group } = vfioNodes(fn);
    const holder = new Deno.Command("sh", {
      args: ["-c", `exec 3<>${group}; echo open; read _`],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    await waitForLine(holder, "open");
    const error = await refused(
      "DEVICE_BUSY",
      () => taken.giveBack({ timeout: 3000 }),
    );
    assertStringIncludes(error.message, `sh (process ${holder.pid})`);
    assertEquals(fn.driver, "vfio-pci");
    const giving = taken.giveBack();
    await holder.stdin.close();
    await giving;
    await holder.status;
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name:
    "TakenDevice.giveBack() throws TIMED_OUT when an invisible process has the device open, and completes when that closes it",
  ignore: !isolated,
  async fn() {
    const fn = host.function(addressOf("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    // It keeps only the device's descriptor, which does not show its group.
    const script = holdDevice(fn.iommuGroup!.id, fn.address);
    const holder = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-lock", "--no-config", script],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    await waitForLine(holder, "open");
    const error = await refused(
      "TIMED_OUT",
      () => taken.giveBack({ timeout: 3000 }),
    );
    assertStringIncludes(error.message, "vfio-pci/unbind in 3000 ms");
    // The kernel still waits, and this thread does not.
    const other = await refused(
      "TIMED_OUT",
      () => host.take(fn, { timeout: 200 }),
    );
    assertStringIncludes(other.message, "an earlier change");
    holder.kill("SIGKILL");
    await holder.status;
    await taken.giveBack();
    assertEquals(fn.driver, "e1000e");
    await assertBecomes(fn.path, before);
  },
});

const LOCAL = import.meta.resolve("../../../lib/kernel/local.ts");
const FCNTL = import.meta.resolve("../../../lib/uapi/linux/fcntl.ts");
const VFIO = import.meta.resolve("../../../lib/uapi/vfio/all.ts");

/** A script that opens a device, and then closes its group and container. */
function holdDevice(group: string, device: string): string {
  return `
    import { localKernel } from ${JSON.stringify(LOCAL)};
    import { O_RDWR } from ${JSON.stringify(FCNTL)};
    import * as vfio from ${JSON.stringify(VFIO)};
    const kernel = localKernel();
    const container = kernel.open("/dev/vfio/vfio", O_RDWR);
    const group = kernel.open("/dev/vfio/${group}", O_RDWR);
    const fd = new Uint8Array(new Int32Array([container]).buffer);
    kernel.ioctl(group, vfio.VFIO_GROUP_SET_CONTAINER, fd);
    const type = BigInt(vfio.VFIO_TYPE1v2_IOMMU);
    kernel.ioctl(container, vfio.VFIO_SET_IOMMU, type);
    const name = new TextEncoder().encode("${device}\\0");
    kernel.ioctl(group, vfio.VFIO_GROUP_GET_DEVICE_FD, name);
    kernel.close(group);
    kernel.close(container);
    console.log("open");
    setInterval(() => {}, 1000);
  `;
}
