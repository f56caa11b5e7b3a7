/**
 * Every kernel call fails in turn, of operations with descriptors that were
 * passed in, and with virtual machines.
 */
import { KvmVfio, VfioDevice } from "../../../mod.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { A, B, C, failEachCall, type World } from "./bench.ts";

/** Opens nodes, as another process would; they are closed at the end. */
function open({ host: { kernel }, later }: World, ...paths: string[]) {
  return paths.map((path) => {
    const fd = kernel.open(path, O_RDWR);
    later.defer(() => kernel.close(fd));
    return fd;
  }) as [number, number];
}

/** Opens the function, whose node is the first, and an iommufd. */
function openOwn(world: World): { iommufd: number; fd: number } {
  const { vfioDevice } = world.host.function(A);
  const [iommufd, fd] = open(
    world,
    "/dev/iommu",
    `/dev/vfio/devices/${vfioDevice}`,
  );
  return { iommufd, fd };
}

failEachCall("VfioDevice.attach() leaves descriptors as they were passed", {
  backends: ["iommufd"],
  prepare(world) {
    world.space.allocate(4096, { iova: 0x10_0000n });
    return openOwn(world);
  },
  act: (world, target) => VfioDevice.attach(target, world.space),
  // Nothing unbinds the caller's descriptor.
  leaves: "part",
});

failEachCall("VfioDevice.detach() completes when descriptors were passed", {
  backends: ["iommufd"],
  async prepare(world) {
    world.space.allocate(4096);
    return await VfioDevice.attach(openOwn(world), world.space);
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.attach() leaves a group as it was passed", {
  backends: ["legacy"],
  prepare(world) {
    world.space.allocate(4096, { iova: 0x10_0000n });
    const { id } = world.host.function(A).iommuGroup!;
    const [group] = open(world, `/dev/vfio/${id}`);
    return { group, device: A };
  },
  act: (world, target) => VfioDevice.attach(target, world.space),
});

/** A virtual machine, until the end. */
function machine({ host, later }: World): KvmVfio {
  return later.use(KvmVfio.create({ host }));
}

failEachCall("KvmVfio.create() leaves nothing behind", {
  backends: ["legacy"],
  prepare: () => {},
  act: (world) => void machine(world),
});

failEachCall("VfioDevice.attach() leaves nothing behind in a virtual machine", {
  prepare: machine,
  act: (world, kvm) => VfioDevice.attach(A, world.space, { kvm }),
});

failEachCall(
  "VfioDevice.attach() leaves nothing behind of a second function of a group in a virtual machine",
  {
    async prepare(world) {
      const kvm = machine(world);
      await VfioDevice.attach(C, world.space, { kvm });
      return kvm;
    },
    act: (world, kvm) => VfioDevice.attach(B, world.space, { kvm }),
  },
);

failEachCall("VfioDevice.detach() takes it out of its virtual machine", {
  async prepare(world) {
    return await VfioDevice.attach(A, world.space, { kvm: machine(world) });
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});
