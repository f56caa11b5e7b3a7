/**
 * Reads this machine's own sysfs, and changes nothing.
 */
import {
  assert,
  assertArrayIncludes,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { explainNoGroup } from "../../lib/host/iommu/no_iommu.ts";
import { openers } from "../../lib/host/openers.ts";
import { localKernel } from "../../lib/kernel/local.ts";
import { PciFunction } from "../../lib/host/pci/function.ts";
import { loadAll } from "./load_all.ts";

// libc is loaded here, and stays loaded, so that no test seems to leak it.
await loadAll(localKernel());

const PCI = "/sys/bus/pci/devices";

function text(address: string, attribute: string): string {
  return Deno.readTextFileSync(`${PCI}/${address}/${attribute}`).trim();
}

/** The name of the target of a link in a device's directory. */
function linked(address: string, link: string): string | undefined {
  try {
    return Deno.readLinkSync(`${PCI}/${address}/${link}`).split("/").at(-1);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test("Host.functions() returns every function of the machine in order", () => {
  const addresses = new Host().functions().map(({ address }) => address);
  const expected = [...Deno.readDirSync(PCI)].map(({ name }) => name).sort();
  assertEquals(addresses, expected);
});

Deno.test("PciFunction agrees with the attributes in this machine's sysfs", () => {
  for (const fn of new Host().functions()) {
    const { address } = fn;
    assertEquals(fn.path, Deno.realPathSync(`${PCI}/${address}`));
    assertEquals(fn.bus, "pci");
    assertEquals(fn.vendor, Number(text(address, "vendor")));
    assertEquals(fn.device, Number(text(address, "device")));
    assertEquals(fn.subsystemVendor, Number(text(address, "subsystem_vendor")));
    assertEquals(fn.subsystemDevice, Number(text(address, "subsystem_device")));
    assertEquals(fn.class, Number(text(address, "class")));
    assertEquals(fn.revision, Number(text(address, "revision")));
    assertEquals(fn.modalias, text(address, "modalias"));
    assertEquals(fn.driver, linked(address, "driver"));
    assertEquals(fn.iommuGroup?.id, linked(address, "iommu_group"));
    const node = Number(text(address, "numa_node"));
    assertEquals(fn.numaNode, node < 0 ? undefined : node);
    const override = text(address, "driver_override");
    assertEquals(
      fn.driverOverride,
      override === "(null)" ? undefined : override,
    );
  }
});

Deno.test({
  name: "PciFunction.bars has the ranges that the kernel has reserved",
  // Other users see zeros in place of addresses.
  ignore: Deno.uid() !== 0,
  fn() {
    const iomem = Deno.readTextFileSync("/proc/iomem").split("\n")
      .map((line) => line.trim());
    const hex = (value: bigint) => value.toString(16).padStart(8, "0");
    for (const { address, bars } of new Host().functions()) {
      const ranges = iomem.filter((line) => line.endsWith(` : ${address}`));
      const memory = bars.filter(({ kind }) => kind === "memory");
      const expected = memory.map(({ start, size }) =>
        `${hex(start)}-${hex(start + BigInt(size) - 1n)} : ${address}`
      );
      assertArrayIncludes(ranges, expected);
      // A function may have one more range, its ROM.
      assertLessOrEqual(ranges.length - expected.length, 1);
    }
  },
});

Deno.test("Host.find() returns the same device for an address and a path", () => {
  const host = new Host();
  const [first] = host.functions();
  assert(first !== undefined, "this machine has PCI functions");
  for (const target of [first.address, first.path, `${PCI}/${first.address}`]) {
    const found = host.find(target);
    assert(found instanceof PciFunction);
    assertEquals(found.path, first.path);
  }
  assertStrictEquals(host.find(first), first);
});

Deno.test("Host.find() returns a device of another bus", () => {
  const [entry] = Deno.readDirSync("/sys/bus/platform/devices");
  assert(entry !== undefined, "this machine has platform devices");
  const path = `/sys/bus/platform/devices/${entry.name}`;
  const device = new Host().find(path);
  assertEquals(device.bus, "platform");
  assertEquals(device.path, Deno.realPathSync(path));
});

Deno.test("Host.find() throws when the path is outside sysfs", () => {
  assertThrows(() => new Host().find("/etc/passwd"), TypeError, "below /sys");
  assertThrows(() => new Host().find("/no/such"), TypeError, "below /sys");
});

Deno.test("Host.function() throws when there is no such function", () => {
  const error = assertThrows(
    () => new Host().function("ffff:ff:1f.7"),
    VfioError,
  );
  assertEquals(error.code, "DEVICE_NOT_FOUND");
  assertEquals(error.device, "ffff:ff:1f.7");
});

Deno.test("Host.groups() returns the kernel's groups", () => {
  const expected = [...Deno.readDirSync("/sys/kernel/iommu_groups")]
    .map(({ name }) => Number(name)).sort((a, b) => a - b);
  const groups = new Host().groups();
  assertEquals(groups.map(({ id }) => Number(id)), expected);
  for (const { devices } of groups) assertGreater(devices.length, 0);
});

Deno.test("explainNoGroup() gives a hint when a device has no group", () => {
  for (const fn of new Host().functions()) {
    if (fn.iommuGroup !== undefined) continue;
    const { problem, hint } = explainNoGroup(fn);
    assert(problem.startsWith("it has no IOMMU group: "), problem);
    assertGreater(hint.length, 0);
  }
});

Deno.test("openers() finds the process that has a node open", async () => {
  const node = await Deno.makeTempFile();
  const { kernel } = new Host();
  const before = openers(kernel, [node]);
  await using holder = new Deno.Command("sleep", {
    args: ["60"],
    stdin: "null",
  }).spawn();
  using _own = Deno.openSync(node);
  const found = openers(kernel, [node]);
  assertEquals(found.length, before.length + 1);
  assert(found.some(({ pid }) => pid === Deno.pid));
  assert(found.every(({ pid }) => pid !== holder.pid));
  await Deno.remove(node);
});
