/**
 * A machine without an IOMMU: what is missing is told, and a device is taken
 * without one where that is asked for twice, of the kernel and of the library.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { EDU_ID } from "./edu.ts";
import { holdings } from "./observe.ts";
import { addressOf, host, machine, refused } from "./setup.ts";

/** Makes a test for machines without an IOMMU. */
function test(name: string, body: () => Promise<void>): void {
  if (machine.iommu === "none") Deno.test(name, body);
}

/** What is said of a virtual machine, whatever its processor. */
const EXPLANATION =
  `vfio ${addressOf("edu0")}: it has no IOMMU group: this is a virtual ` +
  "machine, and it was given no IOMMU\n" +
  "hint: let its monitor give it one (QEMU: -device intel-iommu, or -device " +
  "virtio-iommu-pci) and boot with intel_iommu=on";

/** Has VFIO take devices without an IOMMU, until it is disposed of. */
function noIommuMode(): Disposable {
  const path = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  Deno.writeTextFileSync(path, "1");
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(path, "0") };
}

test("VfioDevice.attach() is NO_IOMMU_GROUP, and says what is missing, when the machine has no IOMMU", async () => {
  await using space = new AddressSpace({ host });
  const error = await refused(
    "NO_IOMMU_GROUP",
    () => VfioDevice.attach(addressOf("edu0"), space),
  );
  assertEquals(error.message, EXPLANATION);
});

test("VfioDevice.attach() is NO_IOMMU_GROUP when no IOMMU isolates the group and nobody asked for that", async () => {
  using _mode = noIommuMode();
  await using taken = await host.take(addressOf("edu0"));
  assertEquals(taken.function.iommuGroup?.name, "vfio-noiommu");
  await using space = new AddressSpace({ host });
  const error = await refused(
    "NO_IOMMU_GROUP",
    () => VfioDevice.attach(taken.function, space),
  );
  assertEquals(error.message, EXPLANATION);
});

test("VfioDevice.attach() takes a device without an IOMMU through the container when that is asked for", async () => {
  using _mode = noIommuMode();
  await using taken = await host.take(addressOf("edu0"));
  const before = holdings();
  const space = new AddressSpace({ host, unsafeNoIommu: true });
  const device = await VfioDevice.attach(taken.function, space);
  assertEquals(space.backend, {
    backend: "legacy",
    reason: "without an IOMMU only the container serves the device",
  });
  assertEquals(device.config.read16(0), taken.function.vendor);
  assertEquals(device.region(0).map().read32(0), EDU_ID);
  assertEquals(space.limits().ranges, []);
  await space.close();
  assertEquals(holdings(), before);
});

test("AddressSpace maps nothing, and says why, when its device has no IOMMU", async () => {
  using _mode = noIommuMode();
  await using taken = await host.take(addressOf("edu0"));
  await using space = new AddressSpace({ host, unsafeNoIommu: true });
  const before = holdings();
  const memory = space.allocate(4096);
  const unattached = await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach(taken.function, space),
  );
  assertMatch(unattached.message, /cannot map 4096 bytes .*no IOMMU/);
  memory.free();
  assertEquals(holdings(), before);

  await using _device = await VfioDevice.attach(taken.function, space);
  const attached = holdings();
  for (
    const [code, options] of [
      ["IOVA_EXHAUSTED", {}],
      ["IOVA_OUT_OF_RANGE", { iova: 0x10_0000n }],
    ] as const
  ) {
    const error = await refused(code, () => space.allocate(4096, options));
    assertStringIncludes(error.message, "without an IOMMU nothing can be");
  }
  assertEquals(holdings(), attached);
});

test("VfioDevice.attach() is BACKEND_UNAVAILABLE when iommufd is asked for and there is no IOMMU", async () => {
  using _mode = noIommuMode();
  await using taken = await host.take(addressOf("edu0"));
  await using space = new AddressSpace({
    host,
    backend: "iommufd",
    unsafeNoIommu: true,
  });
  const error = await refused(
    "BACKEND_UNAVAILABLE",
    () => VfioDevice.attach(taken.function, space),
  );
  assertStringIncludes(error.message, "without an IOMMU only the container");
});
