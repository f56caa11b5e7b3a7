/**
 * Every kernel call of what an address space does fails in turn.
 */
import { A, B, failEachCall, MOVED } from "./bench.ts";
import { oneGroupEach, withMappings, withRegisters } from "./operations.ts";

failEachCall("AddressSpace.map() maps in two containers or in none", {
  backends: ["legacy"],
  system: oneGroupEach,
  async prepare(world) {
    await world.attach(A);
    await world.attach(B);
    return world.space.allocate(4096);
  },
  act: ({ space }, memory) => void space.map(memory, { iova: 0x50_0000n }),
});

failEachCall("AddressSpace.unmap() can be repeated with two containers", {
  backends: ["legacy"],
  system: oneGroupEach,
  async prepare(world) {
    await world.attach(A);
    await world.attach(B);
    withMappings(world);
  },
  act: ({ space }) => space.unmap(0x20_0000n),
  leaves: "part",
});

failEachCall("AddressSpace.close() completes", {
  async prepare(world) {
    withMappings(world);
    world.space.allocate(4096);
    await world.attach(B);
    await withRegisters(world, A);
  },
  act: ({ space }) => space.close(),
  leaves: "done",
});

failEachCall("AddressSpace.allocate() leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: ({ space }) => void space.allocate(4096),
});

failEachCall("AddressSpace.map() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(4096);
  },
  act: ({ space }, memory) => void space.map(memory, { iova: 0x50_0000n }),
});

failEachCall("AddressSpace.unmap() is all or nothing", {
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
  },
  act: ({ space }) => space.unmap(0x20_0000n),
});

failEachCall("AddressSpace.mapFile() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(8192, { memfd: true });
  },
  act: ({ space }, { fd }) => void space.mapFile(fd!, { size: 4096 }),
});

failEachCall("AddressSpace.allocate() of a file leaves nothing behind", {
  prepare: (world) => world.attach(A),
  act: ({ space }) =>
    void space.allocate(4096, { memfd: true, transparentHugePages: true }),
});

failEachCall("AddressSpace.copy() leaves nothing behind", {
  async prepare(world) {
    await world.attach(A);
    const memory = world.space.allocate(4096);
    return world.space.map(memory);
  },
  act: ({ space }, mapping) => void space.copy(mapping),
});

failEachCall("AddressSpace.limits() changes nothing", {
  prepare: (world) => world.attach(A),
  act: ({ space }) => void space.limits(),
});

for (const by of ["devices", "iommu"] as const) {
  failEachCall(`AddressSpace.dirty.start() by ${by} leaves nothing behind`, {
    // The second device's log is started behind the first one's.
    async prepare(world) {
      withMappings(world);
      await world.attach(MOVED);
    },
    act: async ({ space }) => {
      if (space.dirty.by === undefined) await space.dirty.start({ by });
      await space.dirty.stop();
    },
    leaves: "part",
  });
}

failEachCall("AddressSpace.dirty.unmap() is all or nothing", {
  async prepare(world) {
    await world.attach(A);
    const memory = world.space.allocate(4096);
    await world.space.dirty.start();
    return world.space.map(memory);
  },
  act: ({ space }, mapping) => space.dirty.unmap(mapping),
});

failEachCall("AddressSpace.dropAddresses() is all or nothing", {
  backends: ["legacy"],
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
  },
  act: ({ space }) => space.dropAddresses(),
});

failEachCall("AddressSpace.updateAddresses() can be repeated", {
  backends: ["legacy"],
  async prepare(world) {
    await world.attach(A);
    withMappings(world);
    world.space.dropAddresses();
  },
  act: ({ space }) => space.updateAddresses(),
});

failEachCall("DmaMemory.free() can be repeated", {
  async prepare(world) {
    await world.attach(A);
    return world.space.allocate(4096);
  },
  act: (_, memory) => memory.free(),
  leaves: "part",
});
