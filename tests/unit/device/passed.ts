import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { AddressSpace, type PassedTarget, VfioDevice } from "../../../mod.ts";
import { VfioDescriptors } from "../../../lib/handoff/mod.ts";
import { buildMachine } from "../../../lib/sim/machine/build.ts";
import { SimulatedHost } from "../../../lib/sim/mod.ts";
import { O_RDONLY, O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { AF_UNIX, SOCK_SEQPACKET } from "../../../lib/uapi/linux/socket.ts";
import { refused } from "../../failures.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const NOBODY = 65534;

/** A host with two devices, and descriptors that root has opened. */
function setUp() {
  const edu = { model: "edu", driver: "vfio-pci" };
  const machine = buildMachine({
    functions: { [A]: { ...edu, group: 7 }, [B]: edu },
  });
  const host = new SimulatedHost(machine);
  const { kernel } = host;
  const iommufd = kernel.open("/dev/iommu", O_RDWR);
  const fd = kernel.open("/dev/vfio/devices/vfio0", O_RDWR);
  const group = kernel.open("/dev/vfio/7", O_RDWR);
  return { machine, host, kernel, iommufd, fd, group };
}

/** The descriptors of a process, by number. */
function links(host: SimulatedHost): string[] {
  const { kernel } = host;
  return kernel.readdir("/proc/self/fd")
    .map((fd) => kernel.readlink(`/proc/self/fd/${fd}`));
}

/** Attaches, and does DMA that ends up in its memory. */
async function copies(device: VfioDevice): Promise<void> {
  const { space } = device;
  using memory = space.allocate(8192, { dmaMask: 0xfff_ffffn });
  memory.bytes.fill(0x5a, 0, 16);
  device.setBusMaster(true);
  using bar = device.region(0).map();
  const run = (from: bigint, to: bigint, command: bigint) => {
    bar.write64(0x80, from);
    bar.write64(0x88, to);
    bar.write64(0x90, 16n);
    bar.write64(0x98, command);
  };
  run(memory.iova, 0x4_0000n, 1n);
  run(0x4_0000n, memory.iova + 4096n, 3n);
  assertEquals([...memory.bytes.subarray(4096, 4112)], Array(16).fill(0x5a));
  await Promise.resolve();
}

Deno.test("VfioDevice.attach() takes descriptors that a process without rights inherited", async () => {
  const { host, kernel, iommufd, fd, group } = setUp();
  kernel.close(group);
  const child = new SimulatedHost(host.machine, {
    uid: NOBODY,
    inherits: { from: kernel, fds: [iommufd, fd] },
  });
  const before = links(child);
  await using space = new AddressSpace({ host: child });
  await refused("PERMISSION_DENIED", () => VfioDevice.attach(B, space));
  const device = await VfioDevice.attach({ iommufd: 3, fd: 4 }, space);
  assertEquals(device.name, A);
  assertEquals(space.backend, {
    backend: "iommufd",
    reason: "descriptor 3 and descriptor 4 both work",
  });
  await copies(device);
  await device.detach();
  assertEquals(links(child), before);
});

Deno.test("VfioDevice.attach() takes a group that a process without rights inherited", async () => {
  const { host, kernel, group } = setUp();
  kernel.close(4);
  const child = new SimulatedHost(host.machine, {
    uid: NOBODY,
    inherits: { from: kernel, fds: [group] },
  });
  const before = links(child);
  await using space = new AddressSpace({ host: child });
  for (let times = 0; times < 2; times++) {
    const device = await VfioDevice.attach({ group: 3, device: A }, space);
    assertEquals(space.backend, {
      backend: "legacy",
      reason: "the descriptor that was passed is the group's",
    });
    assertEquals(device.deviceId, undefined);
    await copies(device);
    await device.detach();
    assertEquals(links(child), before);
  }
});

Deno.test("VfioDescriptors.receive() gives a process without rights what send() of another sends", async () => {
  const { host, kernel, iommufd, fd, group } = setUp();
  for (const each of [iommufd, fd, group]) kernel.close(each);
  const [ours, its] = kernel.socketpair(AF_UNIX, SOCK_SEQPACKET, 0);
  const child = new SimulatedHost(host.machine, {
    uid: NOBODY,
    inherits: { from: kernel, fds: [its] },
  });
  kernel.close(its);
  const receiving = VfioDescriptors.receive(3, { host: child });
  {
    const functions = [A, B].map((address) => host.function(address));
    await using open = await VfioDescriptors.open(functions);
    open.send(ours);
  }
  await using received = await receiving;
  await using space = new AddressSpace({ host: child });
  const devices = [];
  for (const target of received.passed) {
    devices.push(await VfioDevice.attach(target, space));
  }
  assertEquals(devices.map(({ name }) => name), [A, B]);
  for (const device of devices) await copies(device);
  await space.close();
  await received.close();
  assertEquals(links(child), ["socket:[1]"]);
  kernel.close(ours);
  const error = await refused(
    "DEVICE_NOT_FOUND",
    () => VfioDescriptors.receive(3, { host: child }),
  );
  assertStringIncludes(error.message, "other end of the socket was closed");
});

Deno.test("VfioDescriptors.receive() closes what came with another message, and hears a signal", async () => {
  const { host, kernel, fd } = setUp();
  const [ours, its] = kernel.socketpair(AF_UNIX, SOCK_SEQPACKET, 0);
  const before = links(host);
  for (const text of ["hello", "{}", '{"deviceIds":[1,2,3]}', "null"]) {
    kernel.sendmsg(ours, new TextEncoder().encode(text), [fd]);
    await assertRejects(
      () => VfioDescriptors.receive(its, { host }),
      TypeError,
      "expected what VfioDescriptors.send() sends",
    );
  }
  const reason = new Error("enough");
  const controller = new AbortController();
  const waiting = VfioDescriptors.receive(its, {
    host,
    signal: controller.signal,
  });
  controller.abort(reason);
  assertEquals(await waiting.catch((error) => error), reason);
  assertEquals(links(host), before);
});

Deno.test("VfioDevice.attach() leaves passed descriptors open, bound and repeatable, and the iommufd empty", async () => {
  const { machine, host, kernel, iommufd, fd, group } = setUp();
  kernel.close(group);
  const before = links(host);
  let deviceId: number | undefined;
  for (let times = 0; times < 3; times++) {
    await using space = new AddressSpace({ host });
    const device = await VfioDevice.attach({ fd, iommufd }, space);
    deviceId ??= device.deviceId;
    assertEquals(device.deviceId, deviceId);
    await copies(device);
    space.allocate(4096);
  }
  assertEquals(links(host), before);
  assertEquals(machine.pinnedByUser.get(0), 0);

  // Another process does not know the id, and has to be told.
  const child = new SimulatedHost(host.machine, {
    uid: NOBODY,
    inherits: { from: kernel, fds: [iommufd, fd] },
  });
  await using space = new AddressSpace({ host: child });
  const error = await refused(
    "DEVICE_BUSY",
    () => VfioDevice.attach({ iommufd: 3, fd: 4 }, space),
  );
  assertStringIncludes(error.message, "bound to an iommufd already");
  const target = { iommufd: 3, fd: 4, deviceId: deviceId! };
  const device = await VfioDevice.attach(target, space);
  assertEquals(device.deviceId, deviceId);
  await copies(device);
  // Nobody ends its DMA by closing it.
  assertEquals(device.config.read16(4) & 4, 4);
  await device.detach();
  const { core } = machine.devices.on("pci").get(A)!;
  assertEquals(core.config.master, false);
});

Deno.test("VfioDevice.attach() says so when a descriptor is not bound, and deviceId was given", async () => {
  const { host, kernel, iommufd, fd, group } = setUp();
  kernel.close(group);
  await using space = new AddressSpace({ host });
  const error = await refused(
    "KERNEL",
    () => VfioDevice.attach({ fd, iommufd, deviceId: 1 }, space),
  );
  assertStringIncludes(error.message, "leave deviceId out");
});

Deno.test("VfioDevice.attach() is NOT_SUPPORTED when the space lives in another iommufd", async () => {
  const { host, kernel, iommufd, fd, group } = setUp();
  kernel.close(group);
  await using space = new AddressSpace({ host });
  await VfioDevice.attach(B, space);
  const error = await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach({ fd, iommufd }, space),
  );
  assertStringIncludes(error.message, "another iommufd than descriptor");
  // The other way round a device by its path joins.
  await using other = new AddressSpace({ host });
  await space.close();
  await VfioDevice.attach({ fd, iommufd }, other);
  await VfioDevice.attach(B, other);
});

Deno.test("VfioDevice.attach() is BACKEND_UNAVAILABLE when the descriptor serves the other backend", async () => {
  const { host, iommufd, fd, group } = setUp();
  for (
    const [backend, target, text] of [
      ["legacy", { fd, iommufd }, "is the device's own"],
      ["iommufd", { group, device: A }, "is the group's"],
    ] as const
  ) {
    await using space = new AddressSpace({ host, backend });
    const error = await refused(
      "BACKEND_UNAVAILABLE",
      () => VfioDevice.attach(target, space),
    );
    assertStringIncludes(error.message, text);
  }
});

Deno.test("VfioDevice.attach() is DEVICE_BUSY when a passed group is in a container", async () => {
  const { host, kernel, group } = setUp();
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach({ group, device: A }, space);
  const child = new SimulatedHost(host.machine, {
    inherits: { from: kernel, fds: [group] },
  });
  await using other = new AddressSpace({ host: child });
  const error = await refused(
    "DEVICE_BUSY",
    () => VfioDevice.attach({ group: 3, device: A }, other),
  );
  assertStringIncludes(error.message, "in a container already");
  await device.detach();
  await VfioDevice.attach({ group: 3, device: A }, other);
});

Deno.test("VfioDevice.attach() throws a TypeError when a descriptor is of another file", async () => {
  const { host, kernel, iommufd, fd, group } = setUp();
  const event = kernel.eventfd(0, 0);
  const readOnly = kernel.open("/dev/iommu", O_RDONLY);
  const file = kernel.open("/proc/self/status", O_RDONLY);
  const closed = 99;
  await using space = new AddressSpace({ host });
  const before = links(host);
  for (
    const [target, text] of [
      [{ fd: event, iommufd }, "it is no device node"],
      [{ fd: file, iommufd }, "it is no device node"],
      [{ fd: closed, iommufd }, "it is not open"],
      [{ fd: -1, iommufd }, "expected a number"],
      [{ fd: NaN, iommufd }, "expected a number"],
      [{ fd, iommufd: fd }, "as an iommufd: it is of device number"],
      [{ fd, iommufd: event }, "as an iommufd: it is no device node"],
      [{ fd, iommufd: readOnly }, "not open for reading and writing"],
      [{ fd, iommufd, deviceId: 0 }, "device id 0"],
      [{ group: fd, device: A }, `as the group of ${A}`],
      [{ group, device: B }, `as the group of ${B}`],
    ] as [PassedTarget, string][]
  ) {
    await assertRejects(
      () => VfioDevice.attach(target, space),
      TypeError,
      text,
    );
  }
  const error = await refused(
    "DEVICE_NOT_FOUND",
    () => VfioDevice.attach({ fd: iommufd, iommufd }, space),
  );
  assertStringIncludes(error.message, "which no VFIO device has");
  assertEquals(links(host), before);
});
