import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AddressSpace, Host, KvmVfio, VfioDevice } from "../../../mod.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { traced } from "../../../lib/kernel/trace.ts";
import { buildMachine } from "../../../lib/sim/machine/build.ts";
import { SimulatedHost } from "../../../lib/sim/mod.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { failure, refused } from "../../failures.ts";

const A = "0000:01:00.0";

function setUp() {
  return new SimulatedHost(buildMachine({
    functions: { [A]: { model: "edu", driver: "vfio-pci" } },
  }));
}

/** A host on which a call fails, by its method or the name of its ioctl. */
function failing(name: string, code: string, onPath?: string): Host {
  const kernel = intercept(setUp().kernel, ({ method, args }, proceed) => {
    const called = method === "ioctl"
      ? (args[1] as { name: string }).name
      : method;
    const isIt = called === name &&
      (onPath === undefined || args[0] === onPath);
    if (isIt) throw new KernelError(errnoNumber(code), called);
    return proceed();
  });
  return new Host({ kernel });
}

for (
  const [call, errno, code, text] of [
    ["open", "ENOENT", "NOT_SUPPORTED", "load kvm_intel or kvm_amd"],
    ["open", "EACCES", "PERMISSION_DENIED", "group kvm"],
    ["KVM_CREATE_VM", "ENOMEM", "KERNEL", "make a virtual machine"],
    ["KVM_CREATE_DEVICE", "EBUSY", "DEVICE_BUSY", "has a KvmVfio already"],
    ["KVM_CREATE_DEVICE", "ENODEV", "NOT_SUPPORTED", "CONFIG_KVM_VFIO"],
    ["KVM_CREATE_DEVICE", "ENOMEM", "KERNEL", "make KVM's VFIO device"],
  ] as const
) {
  Deno.test(`KvmVfio.create() is ${code} when ${call} answers ${errno}`, () => {
    const host = failing(call, errno, call === "open" ? "/dev/kvm" : undefined);
    const error = failure(code, () => KvmVfio.create({ host }));
    assertStringIncludes(error.message, text);
  });
}

for (
  const [errno, code, text] of [
    ["EEXIST", "ALREADY_ATTACHED", "has the device, or its group, already"],
    ["EINVAL", "BACKEND_UNAVAILABLE", 'the backend "legacy"'],
    ["ENXIO", "NOT_SUPPORTED", "knows no VFIO devices"],
    ["ENOMEM", "KERNEL", "tell the virtual machine"],
  ] as const
) {
  for (const backend of ["legacy", "iommufd"] as const) {
    Deno.test(`${backend}: VfioDevice.attach() is ${code} when KVM answers ${errno}`, async () => {
      const host = failing("KVM_SET_DEVICE_ATTR", errno);
      using kvm = KvmVfio.create({ host });
      await using space = new AddressSpace({ host, backend });
      const error = await refused(
        code,
        () => VfioDevice.attach(A, space, { kvm }),
      );
      assertEquals(error.device, A);
      assertStringIncludes(error.message, text);
      await VfioDevice.attach(A, space);
    });
  }
}

Deno.test("VfioDevice.attach() takes the container when KVM takes no device's own file", async () => {
  let calls = 0;
  const kernel = intercept(setUp().kernel, ({ args }, proceed) => {
    const { name } = (args[1] ?? {}) as { name?: string };
    if (name === "KVM_SET_DEVICE_ATTR" && calls++ === 0) {
      throw new KernelError(errnoNumber("EINVAL"), name);
    }
    return proceed();
  });
  const host = new Host({ kernel });
  using kvm = KvmVfio.create({ host });
  await using space = new AddressSpace({ host });
  await VfioDevice.attach(A, space, { kvm });
  assertEquals(space.backend?.backend, "legacy");
});

Deno.test("KvmVfio.remove() is KERNEL when the virtual machine does not have it, and nothing once closed", () => {
  const host = setUp();
  using kvm = KvmVfio.create({ host });
  const fd = host.kernel.open("/dev/iommu", O_RDWR);
  failure("KERNEL", () => kvm.remove(fd));
  assertEquals(typeof kvm.vm, "number");
  kvm.close();
  assertEquals(kvm.vm, -1);
  kvm.remove(fd);
  failure("DETACHED", () => kvm.add(fd));
  kvm.close();
});

Deno.test("KvmVfio.of() throws a TypeError when the descriptor is no virtual machine's", () => {
  const host = setUp();
  const fd = host.kernel.eventfd(0, 0);
  for (const vm of [fd, 99]) {
    assertThrows(
      () => KvmVfio.of(vm, { host }),
      TypeError,
      `Cannot use descriptor ${vm} as a virtual machine`,
    );
  }
});

Deno.test("VfioDevice.attach() is NOT_SUPPORTED with kvm when the descriptor is bound", async () => {
  const host = setUp();
  const { kernel } = host;
  const iommufd = kernel.open("/dev/iommu", O_RDWR);
  const fd = kernel.open("/dev/vfio/devices/vfio0", O_RDWR);
  await using space = new AddressSpace({ host });
  using kvm = KvmVfio.create({ host });
  const device = await VfioDevice.attach({ fd, iommufd }, space, { kvm });
  const deviceId = device.deviceId!;
  await device.detach();
  const target = { fd, iommufd, deviceId };
  const error = await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach(target, space, { kvm }),
  );
  assertStringIncludes(error.message, "leave kvm out");
  await VfioDevice.attach(target, space);
});

Deno.test("a trace names KVM's calls, and shows no address of theirs but the argument's", async () => {
  const lines: string[] = [];
  const host = new Host({
    kernel: traced(setUp().kernel, (line) => lines.push(line)),
  });
  using kvm = KvmVfio.create({ host });
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const device = await VfioDevice.attach(A, space, { kvm });
  await device.detach();
  const calls = lines.filter((line) => line.includes("KVM_"))
    .map((line) => line.replace(/ = .*|0x51\w+/g, ""));
  assertEquals(calls, [
    "ioctl(3, KVM_CREATE_VM, 0)",
    "ioctl(4, KVM_CREATE_DEVICE, {type=4, fd=0, flags=0})",
    "ioctl(5, KVM_SET_DEVICE_ATTR, {flags=0, group=1, attr=0x1, addr=})",
    "ioctl(5, KVM_SET_DEVICE_ATTR, {flags=0, group=1, attr=0x2, addr=})",
  ]);
  // It is told before the device is bound, and told again before it is closed.
  const order = lines.flatMap((line) =>
    /KVM_SET_DEVICE_ATTR|BIND_IOMMUFD|closeAsync/.exec(line) ?? []
  );
  assertEquals(order, [
    "KVM_SET_DEVICE_ATTR",
    "BIND_IOMMUFD",
    "KVM_SET_DEVICE_ATTR",
    "closeAsync",
  ]);
});
