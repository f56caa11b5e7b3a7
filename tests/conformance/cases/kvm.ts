/**
 * Virtual machines of KVM's, which have to know their devices: what KVM answers,
 * and that the library tells it in the order that the kernel demands.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { KvmVfio, VfioDevice } from "../../../mod.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import {
  KVM_API_VERSION,
  KVM_CREATE_DEVICE,
  kvm_create_device,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  kvm_device_attr,
  KVM_GET_API_VERSION,
  KVM_SET_DEVICE_ATTR,
} from "../../../lib/uapi/linux/kvm.ts";
import { refused } from "../../failures.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { since } from "../bench.ts";
import { KernelFile } from "../kernel_file.ts";
import {
  forEachBackend,
  type Setup,
  withContainer,
  withIommufd,
} from "../setup.ts";

/** Whether the system has KVM. Debian's kernels load it on other processors. */
function hasKvm({ kernel }: Setup): boolean {
  return answer(() => kernel.stat("/dev/kvm")) === undefined;
}

/** A virtual machine, and its VFIO device. */
function virtualMachine(setup: Setup): {
  kvm: KernelFile;
  vm: KernelFile;
  vfio: KernelFile;
} {
  const { kernel } = setup;
  const use = (fd: number) => setup.use(new KernelFile(kernel, fd));
  const kvm = use(kernel.open("/dev/kvm", O_RDWR));
  const vm = use(kvm.ioctl(KVM_CREATE_VM, 0n));
  return { kvm, vm, vfio: use(createDevice(vm)) };
}

function createDevice(vm: KernelFile, type = KVM_DEV_TYPE_VFIO): number {
  const argument = kvm_create_device.alloc({ type });
  vm.ioctl(KVM_CREATE_DEVICE, argument);
  return kvm_create_device.decode(argument).fd;
}

/** Sets an attribute whose value is a descriptor. */
function set(
  vfio: KernelFile,
  attribute: number,
  fd: number,
  group = KVM_DEV_VFIO_FILE,
): string | number | undefined {
  const value = new Uint8Array(new Int32Array([fd]).buffer);
  const addr = vfio.kernel.addressOf(value);
  const argument = kvm_device_attr
    .alloc({ group, attr: BigInt(attribute), addr });
  const result = answer(() => vfio.ioctl(KVM_SET_DEVICE_ATTR, argument));
  value.fill(0);
  return result;
}

withContainer(
  "KVM takes a group once, and lets go of it when it is removed or the virtual machine's device is closed",
  async (setup) => {
    if (!hasKvm(setup)) return;
    const { kvm, vm, vfio } = virtualMachine(setup);
    assertEquals(kvm.ioctl(KVM_GET_API_VERSION), KVM_API_VERSION);
    assertEquals(answer(() => createDevice(vm)), "EBUSY");
    assertEquals(answer(() => createDevice(vm, 99)), "ENODEV");
    const group = await setup.group("edu0");
    const [add, remove] = [KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL];
    assertEquals(set(vfio, remove, group.fd), "ENOENT");
    assertEquals(set(vfio, add, group.fd), undefined);
    assertEquals(set(vfio, add, group.fd), "EEXIST");
    assertEquals(set(vfio, remove, group.fd), undefined);
    assertEquals(set(vfio, remove, group.fd), "ENOENT");
    assertEquals(set(vfio, add, -1), "EBADF");
    assertEquals(set(vfio, remove, -1), "EBADF");
    assertEquals(set(vfio, add, vm.fd), "EINVAL");
    assertEquals(set(vfio, 9, group.fd), "ENXIO");
    assertEquals(set(vfio, add, group.fd, 9), "ENXIO");

    // It holds the group: closing that releases nothing.
    assertEquals(set(vfio, add, group.fd), undefined);
    group.close();
    assertEquals(await answerAsync(() => setup.group("edu0")), "EBUSY");
    vfio.close();
    (await setup.group("edu0")).close();
    setup.use(new KernelFile(setup.kernel, createDevice(vm)));
  },
);

withIommufd(
  "KVM takes a device's own file, and holds it when it is closed",
  async (setup) => {
    if (!hasKvm(setup) || !since(setup.bench.release, 6, 6)) return;
    const { vfio } = virtualMachine(setup);
    const iommufd = setup.iommufd();
    const cdev = await setup.cdev("edu0");
    assertEquals(set(vfio, KVM_DEV_VFIO_FILE_ADD, cdev.fd), undefined);
    cdev.bind(iommufd);
    cdev.close();
    const again = await setup.cdev("edu0");
    assertEquals(answer(() => again.bind(iommufd)), "EINVAL");
    vfio.close();
    again.bind(iommufd);
  },
);

forEachBackend(
  "VfioDevice.attach() tells a virtual machine of a device, and detach() takes it out",
  async (setup) => {
    if (!hasKvm(setup)) return;
    const { host } = setup;
    const edu = await setup.take("edu0");
    const before = setup.bench.holdings();
    {
      using kvm = KvmVfio.create({ host });
      const space = setup.space();
      for (let times = 0; times < 2; times++) {
        const device = await VfioDevice.attach(edu, space, { kvm });
        assertEquals(device.region(0).map().read32(0), EDU_ID);
        await device.detach();
      }
      // Nobody holds the device.
      const other = setup.space();
      await VfioDevice.attach(edu, other);
      await other.close();

      // In the other order all is released, too.
      await VfioDevice.attach(edu, space, { kvm });
      kvm.close();
      await space.close();
      const error = await refused(
        "DETACHED",
        () => VfioDevice.attach(edu, setup.space(), { kvm }),
      );
      assertStringIncludes(error.message, "KvmVfio");
    }
    assertEquals(setup.bench.holdings(), before);
  },
);

forEachBackend(
  "VfioDevice.attach() gives all devices of a group to one virtual machine",
  async (setup) => {
    if (!hasKvm(setup)) return;
    const { host } = setup;
    const functions = [await setup.take("pair0"), await setup.take("pair1")];
    using kvm = KvmVfio.create({ host });
    const before = setup.bench.holdings();
    const space = setup.space();
    const devices = [];
    for (const fn of functions) {
      devices.push(await VfioDevice.attach(fn, space, { kvm }));
    }
    await devices[0]!.detach();
    const again = await VfioDevice.attach(functions[0]!, space, { kvm });
    if (setup.backend === "legacy") {
      await again.detach();
      using other = KvmVfio.create({ host });
      const error = await refused(
        "NOT_SUPPORTED",
        () => VfioDevice.attach(functions[0]!, space, { kvm: other }),
      );
      assertStringIncludes(error.message, "another virtual machine");
    }
    await space.close();
    assertEquals(setup.bench.holdings(), before);
  },
);

forEachBackend(
  "KvmVfio.of() makes one for a virtual machine that there is, once",
  async (setup) => {
    if (!hasKvm(setup)) return;
    const { host, kernel } = setup;
    const { vm, vfio } = virtualMachine(setup);
    const busy = await refused(
      "DEVICE_BUSY",
      () => KvmVfio.of(vm.fd, { host }),
    );
    assertStringIncludes(busy.message, "has a KvmVfio already");
    vfio.close();
    {
      using kvm = KvmVfio.of(vm.fd, { host });
      const space = setup.space();
      const edu = await setup.take("edu0");
      const device = await VfioDevice.attach(edu, space, { kvm });
      assertEquals(kvm.vm, undefined);
      await device.detach();
      await space.close();
    }
    // The caller's is open.
    assertEquals(kernel.fstat(vm.fd).device, "0:0");
    for (const fd of [setup.eventfd().fd, 999]) {
      assertEquals(
        await answerAsync(() => KvmVfio.of(fd, { host })),
        "TypeError",
      );
    }
  },
);

/** The errno, or the name, of what is thrown. */
async function answerAsync(step: () => unknown): Promise<string | undefined> {
  try {
    await step();
    return undefined;
  } catch (error) {
    const { code, name } = error as { code?: string; name: string };
    return code ?? name;
  }
}
