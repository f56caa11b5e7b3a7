/**
 * Every kernel call fails in turn, of operations with a device that no IOMMU
 * isolates.
 */
import { failEachCall, NAKED } from "./bench.ts";

failEachCall("VfioDevice.attach() leaves nothing behind without an IOMMU", {
  backends: ["legacy", "iommufd", "auto"],
  prepare: () => {},
  act: (world) => world.attach(NAKED),
  // Without iommufd's nodes it chooses the legacy backend.
  otherwise: ({ method }, _, backend) =>
    backend === "auto" && /^(open|readdir|stat|close)$/.test(method),
});

failEachCall("VfioDevice.attach() leaves nothing behind of a second time", {
  async prepare(world) {
    const device = await world.attach(NAKED);
    world.space.allocate(4096);
    await device.detach();
  },
  act: (world) => world.attach(NAKED),
});

failEachCall("AddressSpace.allocate() leaves nothing behind without an IOMMU", {
  prepare: (world) => world.attach(NAKED),
  // One page is beyond the mask.
  act: ({ space }) => void space.allocate(4096, { dmaMask: 0xfff_ffffn }),
});

failEachCall("DmaMemory.physical() changes nothing", {
  async prepare(world) {
    await world.attach(NAKED);
    return world.space.allocate(4096);
  },
  act: (_, memory) => void memory.physical(),
});

failEachCall("VfioDevice.detach() completes without an IOMMU", {
  async prepare(world) {
    const device = await world.attach(NAKED);
    world.space.allocate(4096);
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});
