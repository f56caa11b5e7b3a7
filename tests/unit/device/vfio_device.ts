import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { PCI_COMMAND } from "../../../lib/uapi/pci/regs.ts";
import { failure, refused } from "../../failures.ts";
import { ADDRESS, FakeVfio } from "../fake_vfio.ts";

for (
  const target of [
    "",
    "0000:00:03",
    "00:03",
    "0000:00:03.8",
    "0000:00:20.0",
    "0000:100:03.0",
    "0000:00:03.0\n",
    "gpu",
    "/dev/vfio/4",
    "relative/path",
  ]
) {
  Deno.test(`VfioDevice.attach() throws a TypeError when the target is ${JSON.stringify(target)}`, async () => {
    const vfio = new FakeVfio();
    const space = new AddressSpace({ host: vfio.host });
    await assertRejects(() => VfioDevice.attach(target, space), TypeError);
    assertEquals(vfio.calls, []);
  });
}

for (
  const target of [
    "0000:00:1f.7",
    "00:1f.7",
    "/sys/bus/pci/devices/0000:00:1f.7",
  ]
) {
  Deno.test(`VfioDevice.attach() throws DEVICE_NOT_FOUND when there is no ${target}`, async () => {
    const vfio = new FakeVfio();
    const space = new AddressSpace({ host: vfio.host });
    const error = await refused(
      "DEVICE_NOT_FOUND",
      () => VfioDevice.attach(target, space),
    );
    assert(error.message.startsWith("vfio 0000:00:1f.7: "));
    assertEquals(vfio.calls, []);
  });
}

for (
  const vfToken of [
    "",
    "ab",
    "00112233445566778899aabbccddeeff",
    "00112233-4455-6677-8899-aabbccddeef",
    "00112233-4455-6677-8899-aabbccddeeff ",
    "00112233-4455-6677-8899-aabbccddeefg",
  ]
) {
  Deno.test(`VfioDevice.attach() throws a TypeError when the token is ${JSON.stringify(vfToken)}`, async () => {
    const vfio = new FakeVfio();
    const space = new AddressSpace({ host: vfio.host });
    await assertRejects(
      () => VfioDevice.attach(ADDRESS, space, { vfToken }),
      TypeError,
      "expected a UUID",
    );
    assertEquals(vfio.calls, []);
  });
}

Deno.test("VfioDevice.attach() accepts a token when it is a UUID", async () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  const vfToken = "00112233-4455-6677-8899-aaBBccDDeeFF";
  const device = await VfioDevice.attach(ADDRESS, space, { vfToken });
  assert(device.attached);
});

Deno.test("VfioDevice.attach() accepts an address, a path in sysfs and a device", async () => {
  const vfio = new FakeVfio();
  for (
    const target of [
      ADDRESS,
      "00:03.0",
      `/sys/bus/pci/devices/${ADDRESS}`,
      vfio.host.function(ADDRESS),
    ]
  ) {
    const space = new AddressSpace({ host: vfio.host });
    const device = await VfioDevice.attach(target, space);
    assertEquals(device.name, ADDRESS);
    assertStrictEquals(device.space, space);
    assertEquals(device.hostDevice.path, vfio.host.function(ADDRESS).path);
    await device.detach();
  }
});

Deno.test("VfioDevice.attach() reads the device's info", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  assertEquals(device.info, {
    api: "pci",
    pci: true,
    resettable: true,
    regions: 9,
    irqs: 5,
  });
  await device.detach();
  vfio.deviceFlags = 0;
  const { info } = (await vfio.attach()).device;
  assertEquals([info.pci, info.resettable], [false, false]);
});

Deno.test("VfioDevice.attach() can be repeated when it failed", async () => {
  const vfio = new FakeVfio();
  const space = new AddressSpace({ host: vfio.host });
  for (const name of ["VFIO_DEVICE_GET_INFO", "VFIO_SET_IOMMU"]) {
    vfio.errors.set(name, "EIO");
    const error = await refused(
      "KERNEL",
      () => VfioDevice.attach(ADDRESS, space),
    );
    assert(
      error.message.startsWith(`vfio ${ADDRESS}: cannot attach: ${name}: EIO`),
    );
  }
  await using device = await VfioDevice.attach(ADDRESS, space);
  assert(device.attached);
});

Deno.test("VfioDevice.region() returns the same region each time", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  assertStrictEquals(device.region(0), device.region(0));
  assertEquals(vfio.calls, ["VFIO_DEVICE_GET_REGION_INFO"]);
  assertEquals(device.region(8).index, 8);
  assertStrictEquals(device.config, device.region(7));
});

for (const index of [-1, 9, 0.5, NaN, Infinity, 2 ** 32]) {
  Deno.test(`VfioDevice.region() throws a RangeError when the index is ${index}`, async () => {
    const vfio = new FakeVfio();
    const { device } = await vfio.attach();
    assertThrows(
      () => device.region(index),
      RangeError,
      `Cannot take region ${index}: the device has 9`,
    );
    assertEquals(vfio.calls, []);
  });
}

Deno.test("VfioDevice.region() throws KERNEL when the kernel refuses, and can be repeated", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.errors.set("VFIO_DEVICE_GET_REGION_INFO", "EIO");
  const error = failure("KERNEL", () => device.region(2));
  assertEquals(error.device, ADDRESS);
  assertEquals(device.region(2).size, 4096);
});

Deno.test("VfioDevice.region() throws NOT_SUPPORTED when the kernel has no such region", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.errors.set("VFIO_DEVICE_GET_REGION_INFO", "EINVAL");
  const error = failure("NOT_SUPPORTED", () => device.region(8));
  assertEquals(error.message, `vfio ${ADDRESS}: it has no region 8`);
});

Deno.test("VfioDevice.config throws NOT_SUPPORTED when the device is not a PCI function", async () => {
  const vfio = new FakeVfio();
  vfio.deviceFlags = 0;
  const { device } = await vfio.attach();
  failure("NOT_SUPPORTED", () => device.config);
  failure("NOT_SUPPORTED", () => device.setBusMaster(true));
});

Deno.test("VfioDevice.setBusMaster() changes only that bit of the command register", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.registers.set([0x03, 0x04], PCI_COMMAND);
  const command = () => device.config.read16(PCI_COMMAND);
  device.setBusMaster(true);
  assertEquals(command(), 0x0407);
  device.setBusMaster(true);
  assertEquals(command(), 0x0407);
  device.setBusMaster(false);
  assertEquals(command(), 0x0403);
});

Deno.test("VfioDevice.reset() makes one ioctl when that succeeds", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  await device.reset();
  assertEquals(vfio.calls, ["VFIO_DEVICE_RESET"]);
});

Deno.test("VfioDevice.reset() tries again when the device is locked for a moment", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.errors.set("VFIO_DEVICE_RESET", "EAGAIN");
  await device.reset();
  assertEquals(vfio.calls, ["VFIO_DEVICE_RESET", "VFIO_DEVICE_RESET"]);
});

Deno.test("VfioDevice.reset() throws DEVICE_BUSY when the device stays locked", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.errors.get = () => "EAGAIN";
  const error = await refused("DEVICE_BUSY", () => device.reset());
  assertEquals(error.device, ADDRESS);
  assert(vfio.calls.length > 2);
});

Deno.test("VfioDevice.reset() throws KERNEL at once when it fails otherwise", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  vfio.errors.set("VFIO_DEVICE_RESET", "EIO");
  await refused("KERNEL", () => device.reset());
  assertEquals(vfio.calls, ["VFIO_DEVICE_RESET"]);
});

Deno.test("VfioDevice.reset() throws NOT_SUPPORTED when the kernel has no method", async () => {
  const vfio = new FakeVfio();
  vfio.deviceFlags = 2;
  const { device } = await vfio.attach();
  await refused("NOT_SUPPORTED", () => device.reset());
  assertEquals(vfio.calls, []);
});

Deno.test("VfioDevice.detach() unmaps registers first, and does nothing when it is repeated", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  const registers = device.region(0).map();
  vfio.calls.length = 0;
  const first = device.detach();
  assertFalse(device.attached);
  assertStrictEquals(device.detach(), first);
  await first;
  await device[Symbol.asyncDispose]();
  assertEquals(vfio.calls[0], "munmap");
  assertEquals(vfio.calls[1], "closeAsync");
  assertEquals(vfio.calls.filter((name) => name === "munmap").length, 1);
  assertEquals(vfio.memory.size, 0);
  failure("DETACHED", () => registers.read32(0));
});

Deno.test("VfioDevice throws DETACHED from every method when it is detached", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  const region = device.region(0);
  const registers = region.map();
  await device.detach();
  vfio.calls.length = 0;
  const calls = [
    () => device.fd,
    () => device.region(1),
    () => device.config,
    () => device.setBusMaster(true),
    () => region.read32(0),
    () => region.write32(0, 0),
    () => region.map(),
    () => registers.read32(0),
    () => registers.write32(0, 0),
  ];
  for (const ask of calls) {
    const error = failure("DETACHED", ask);
    assertEquals(error.device, ADDRESS);
  }
  await refused("DETACHED", () => device.reset());
  assertEquals(vfio.calls, []);
});

Deno.test("VfioDevice.detach() tries once more when unmapping registers fails", async () => {
  const vfio = new FakeVfio();
  const { device } = await vfio.attach();
  device.region(0).map();
  vfio.errors.set("munmap", "ENOMEM");
  await device.detach();
  assertEquals(vfio.memory.size, 0);
});

Deno.test("VfioDevice.detach() throws DETACH_INCOMPLETE when registers stay mapped, and releases everything else", async () => {
  const vfio = new FakeVfio();
  const { space, device } = await vfio.attach();
  device.region(0).map();
  vfio.errors.get = (name) => name === "munmap" ? "ENOMEM" : undefined;
  const error = await refused("DETACH_INCOMPLETE", () => device.detach());
  assertEquals(error.device, ADDRESS);
  assert(vfio.calls.includes("closeAsync"));
  assertEquals(space.backend, undefined);
});
