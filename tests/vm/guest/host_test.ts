/**
 * Taking functions from their drivers and giving them back, on a real kernel.
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { vfioNodes } from "../../../lib/host/nodes.ts";
import type { PciFunction } from "../../../lib/host/pci_function.ts";
import { localKernel } from "../../../lib/kernel/local.ts";
import { O_RDWR } from "../../../lib/uapi/fcntl.ts";
import {
  VFIO_GROUP_FLAGS_VIABLE as VIABLE,
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../../lib/uapi/vfio.ts";
import { currentMachine } from "../machine_env.ts";

const machine = currentMachine();
if (machine === undefined) throw new Error("This runs in a guest");
const { devices } = machine;
const isolated = machine.iommu !== "none";

function address(name: string): string {
  const found = devices[name];
  assert(found !== undefined, `the machine has ${name}`);
  return found;
}

const kernel = localKernel();
const host = new Host();
// What the kernel loads of libc stays loaded, and is no test's leak.
await kernel.writeFileAsync("/dev/null", "");
kernel.close(kernel.eventfd(0, 0));

/** What counts up, or is numbered anew, whenever a driver takes a function. */
const VOLATILE = new RegExp(
  "/(?:power/runtime_(?:active|suspended)_time|diskseq|pools|stat|ifindex|iflink|" +
    "statistics/.*|carrier_(?:changes|up_count|down_count))$",
);

/** Everything that sysfs says of a device, but for what always changes. */
function snapshot(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (directory: string) => {
    for (
      const { name, isSymlink, isDirectory } of Deno.readDirSync(directory)
    ) {
      const entry = `${directory}/${name}`;
      if (VOLATILE.test(entry)) continue;
      if (isSymlink) found[entry] = `-> ${Deno.readLinkSync(entry)}`;
      else if (isDirectory) visit(entry);
      else found[entry] = content(entry);
    }
  };
  visit(path);
  return found;
}

/** The text of an attribute; of one without text, that it is there. */
function content(path: string): string {
  const { mode, size } = Deno.statSync(path);
  // Attributes with text are said to be of a page, whatever is in them.
  if (((mode ?? 0) & 0o444) === 0 || size !== 4096) return "present";
  if (path.endsWith("/config")) return "present";
  try {
    return Deno.readTextFileSync(path).replace(/^(IFINDEX|DISKSEQ)=.*$/m, "$1");
  } catch (error) {
    return (error as Error).name; // such as the speed of a link that is down
  }
}

const delay = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A snapshot of a device that its driver has finished setting up. */
async function settled(path: string): Promise<Record<string, string>> {
  for (let before = snapshot(path);;) {
    await delay(200);
    const now = snapshot(path);
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
}

/** Waits for what a driver does in the background. */
async function assertBecomes(
  path: string,
  expected: Record<string, string>,
): Promise<void> {
  const wanted = JSON.stringify(expected);
  const end = performance.now() + 20_000;
  while (
    JSON.stringify(snapshot(path)) !== wanted && performance.now() < end
  ) {
    await delay(100);
  }
  assertEquals(snapshot(path), expected);
}

/**
 * A function that has had a driver and has none. A first driver leaves marks
 * that nothing takes away: the power state is known, and what the function
 * might have been waiting for is no longer told.
 */
async function driverless(name: string): Promise<PciFunction> {
  const fn = host.function(address(name));
  await (await host.take(fn)).giveBack();
  assertEquals(fn.driver, undefined);
  return fn;
}

async function failure(work: Promise<unknown>): Promise<VfioError> {
  return await assertRejects(() => work, VfioError);
}

for (
  const [name, driver] of [["nvme0", "nvme"], ["e1000e0", "e1000e"]] as const
) {
  Deno.test({
    name:
      `Host.take() and giveBack() leave sysfs as it was when ${driver} has it`,
    ignore: !isolated,
    async fn() {
      const fn = host.function(address(name));
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

Deno.test({
  name: "TakenFunction.giveBack() gives back a disk that can be read",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("nvme0"));
    const before = await settled(fn.path);
    await (await host.take(fn)).giveBack();
    await assertBecomes(fn.path, before);
    const disk = Object.keys(before)
      .map((path) => /\/(nvme\d+n\d+)\/size$/.exec(path)?.[1])
      .find((found) => found !== undefined);
    using file = await Deno.open(`/dev/${disk}`);
    assertEquals(await file.read(new Uint8Array(512)), 512);
  },
});

Deno.test({
  name: "TakenFunction.giveBack() restores what was set by hand before",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const original = await settled(fn.path);
    const control = `${fn.path}/power/control`;
    const power = original[control]; // not in every kernel
    // as driverctl leaves it when it is told not to rebind
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
  name: "Host.take() takes a function that no driver has",
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
  name: "Host.take() goes on from where a process was killed",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
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
    await said(child, "halfway");
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
  name: "IommuGroup.viability() names the member on another driver",
  ignore: !isolated,
  async fn() {
    const [nvme, edu] = [address("mixed0"), address("mixed1")];
    const group = host.function(edu).iommuGroup;
    assert(group !== undefined);
    assertEquals(group.devices.map(({ name }) => name), [nvme, edu]);
    const viability = group.viability();
    assert(!viability.viable);
    assertEquals(
      viability.obstacles.map(({ device, driver, remedy }) => [
        device.name,
        driver,
        remedy,
      ]),
      [[
        nvme,
        "nvme",
        `take ${nvme} from nvme as well: host.take("${nvme}")`,
      ]],
    );
    // The remedy is one: the kernel thinks so too.
    await using taken = await host.take(edu);
    assertEquals(status(group.id) & VIABLE, 0);
    await using also = await host.take(nvme);
    assertEquals(also.function.driver, "vfio-pci");
    assertEquals(group.viability(), { viable: true });
    assertEquals(status(group.id) & VIABLE, VIABLE);
    assertEquals(taken.function.driver, "vfio-pci");
  },
});

Deno.test({
  name: "IommuGroup.viability() agrees with the kernel on every group it has",
  ignore: !isolated,
  async fn() {
    let viable = 0;
    for (const group of host.groups()) {
      const free = group.devices.find(({ driver, name }) =>
        driver === undefined && host.function(name).class >> 16 !== 0x06
      );
      // A group of which VFIO has no member cannot be asked.
      if (free === undefined) continue;
      await using _taken = await host.take(free);
      const says = group.viability().viable;
      assertEquals(
        (status(group.id) & VIABLE) !== 0,
        says,
        `group ${group.id}`,
      );
      if (says) viable++;
    }
    assertGreater(viable, 3);
  },
});

Deno.test({
  name: "Host.take() changes nothing when there is no such driver",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    const error = await failure(host.take(fn, { driver: "vfio-nothing" }));
    assertEquals(error.code, "DRIVER_FAILED");
    assertEquals(error.hint, "modprobe vfio-nothing");
    assertEquals(await settled(fn.path), before);
  },
});

Deno.test({
  name: "Host.take() gives back when the driver does not want the function",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    // It takes bridges, and refuses whatever else it is made to look at.
    const error = await failure(host.take(fn, { driver: "pcieport" }));
    assertEquals(error.code, "DRIVER_FAILED");
    assertStringIncludes(String(error.cause), "ENODEV");
    assertEquals(fn.driver, "e1000e");
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "Host.take() is DRIVER_FAILED when the function is a bridge",
  ignore: !isolated,
  async fn() {
    const bridge = host.functions().find(({ class: code }) =>
      code >> 8 === 0x0604
    );
    assert(bridge !== undefined, "the machine has a bridge");
    const error = await failure(host.take(bridge));
    assertEquals(error.code, "DRIVER_FAILED");
    assertEquals(bridge.driver, "pcieport");
  },
});

Deno.test({
  name: "Host.take() is undone when it is stopped",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    const controller = new AbortController();
    const taking = host.take(fn, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assertRejects(() => taking, Error, "enough");
    // Its turn comes when the kernel is done and everything undone.
    const taken = await host.take(fn);
    assertEquals(taken.previousDriver, "e1000e");
    assertEquals(taken.previousOverride, undefined);
    await taken.giveBack();
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name:
    "TakenFunction.giveBack() is DEVICE_BUSY when this process has its group open",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    const { group } = vfioNodes(fn);
    const fd = kernel.open(group!, O_RDWR);
    const start = performance.now();
    const error = await failure(taken.giveBack());
    assertLess(performance.now() - start, 5000);
    assertEquals(error.code, "DEVICE_BUSY");
    assertStringIncludes(error.message, `(process ${Deno.pid})`);
    assertEquals(fn.driver, "vfio-pci");
    kernel.close(fd);
    await taken.giveBack();
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "TakenFunction.giveBack() names the process that has its group open",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    const { group } = vfioNodes(fn);
    const holder = new Deno.Command("sh", {
      args: ["-c", `exec 3<>${group}; echo open; read _`],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    await said(holder, "open");
    const error = await failure(taken.giveBack({ timeout: 3000 }));
    assertEquals(error.code, "DEVICE_BUSY");
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
    "TakenFunction.giveBack() is TIMED_OUT when an open device cannot be seen, and done when it closes",
  ignore: !isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    const taken = await host.take(fn);
    // It keeps the device's own descriptor, which tells nobody whose it is.
    const script = holdDevice(fn.iommuGroup!.id, fn.address);
    const holder = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-lock", "--no-config", script],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    await said(holder, "open");
    const start = performance.now();
    const error = await failure(taken.giveBack({ timeout: 3000 }));
    assertLess(performance.now() - start, 8000);
    assertEquals(error.code, "TIMED_OUT");
    assertStringIncludes(error.message, "vfio-pci/unbind in 3000 ms");
    // The kernel still waits; this thread does not.
    const other = await failure(host.take(fn, { timeout: 200 }));
    assertStringIncludes(other.message, "an earlier change");
    holder.kill("SIGKILL");
    await holder.status;
    await taken.giveBack();
    assertEquals(fn.driver, "e1000e");
    await assertBecomes(fn.path, before);
  },
});

Deno.test({
  name: "Host.take() is NO_IOMMU_GROUP when the machine has no IOMMU",
  ignore: isolated,
  async fn() {
    const fn = host.function(address("e1000e0"));
    const before = await settled(fn.path);
    assertEquals(fn.iommuGroup, undefined);
    const error = await failure(host.take(fn));
    assertEquals(error.code, "NO_IOMMU_GROUP");
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
    const fn = host.function(address("e1000e0"));
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

const LOCAL = import.meta.resolve("../../../lib/kernel/local.ts");
const FCNTL = import.meta.resolve("../../../lib/uapi/fcntl.ts");
const VFIO = import.meta.resolve("../../../lib/uapi/vfio.ts");

/** A script that opens a device and closes all that it did so through. */
function holdDevice(group: string, device: string): string {
  return `
    import type { PciFunction } from "../../../lib/host/pci_function.ts";
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

/** Waits for a line that a process prints, and reads no further. */
async function said(child: Deno.ChildProcess, line: string): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(`${line}\n`)) return;
  }
  throw new Error(`The process ended before it said "${line}"`);
}

/** What the kernel says of a group: VFIO_GROUP_GET_STATUS. */
function status(group: string): number {
  const fd = kernel.open(`/dev/vfio/${group}`, O_RDWR);
  try {
    const bytes = vfio_group_status.alloc();
    kernel.ioctl(fd, VFIO_GROUP_GET_STATUS, bytes);
    return vfio_group_status.decode(bytes).flags;
  } finally {
    kernel.close(fd);
  }
}
