/**
 * Which memory of this process devices can access, and which they cannot.
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  AddressSpace,
  type DmaMemory,
  Host,
  VfioDevice,
} from "../../../mod.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { forEachBackend, type Setup } from "../setup.ts";

/** The addresses that edu can reach. */
const dmaMask = EDU_DMA_MASK;

/** An edu attached to a space, which has two pages for it. */
async function start(setup: Setup) {
  const space = setup.space();
  const device = await setup.attach("edu0", space);
  const edu = new Edu(device);
  const memory = space.allocate(8192, { dmaMask });
  randomize(memory.bytes);
  return { space, device, edu, memory };
}

function randomize(bytes: Uint8Array<ArrayBuffer>): void {
  crypto.getRandomValues(bytes.subarray(0, 65536));
}

/** Asserts that a device copies the first half of memory to the second. */
async function assertCopies(edu: Edu, memory: DmaMemory): Promise<void> {
  const { bytes, iova, size } = memory;
  randomize(bytes);
  await edu.copy(iova, iova + BigInt(size / 2), size / 2);
  assertEquals(bytes.subarray(size / 2), bytes.subarray(0, size / 2));
}

forEachBackend(
  "edu copies 4 KiB from memory to the device and back",
  async (setup) => {
    const { edu, memory } = await start(setup);
    const before = memory.bytes.slice(0, 4096);
    await edu.copy(memory.iova, memory.iova + 4096n, 4096);
    assertEquals(memory.bytes.slice(4096), before);
    assertEquals(memory.bytes.slice(0, 4096), before);
  },
);

forEachBackend(
  "edu changes nothing when it writes to an unmapped address",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const freed = space.allocate(4096, { dmaMask });
    randomize(freed.bytes);
    const before = [memory.bytes.slice(), freed.bytes.slice()];
    const unmapped = freed.iova;
    space.unmap(unmapped);
    for (const iova of [unmapped, 0x800_0000n]) {
      await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
    }
    assertEquals([memory.bytes, freed.bytes], before);
  },
);

forEachBackend(
  "edu reads nothing when it reads from an unmapped address",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const freed = space.allocate(4096, { dmaMask });
    freed.bytes.fill(0xa5);
    const { iova } = freed;
    space.unmap(iova);
    await setup.bench.assertFault(() => edu.copyToDevice(iova, 512));
    await edu.copyFromDevice(memory.iova, 512);
    assert(!memory.bytes.subarray(0, 512).includes(0xa5));
  },
);

forEachBackend(
  "AddressSpace.allocate() returns memory that a device sees when it is attached later",
  async (setup) => {
    const space = setup.space();
    const memory = space.allocate(8192, { dmaMask });
    const edu = new Edu(await setup.attach("edu0", space));
    await assertCopies(edu, memory);
  },
);

forEachBackend(
  "AddressSpace keeps its mappings when its last device is detached and another attached",
  async (setup) => {
    const { space, device, memory } = await start(setup);
    const { iova } = memory;
    await device.detach();
    assertEquals(setup.locked, 0);
    for (const name of ["edu0", "edu1"]) {
      const again = await setup.attach(name, space);
      assertEquals(memory.iova, iova);
      await assertCopies(new Edu(again), memory);
      assertEquals(setup.locked, 8);
      await again.detach();
    }
  },
);

forEachBackend(
  "AddressSpace.allocate() returns zeroed memory when its pages are not contiguous",
  async (setup) => {
    const { space, edu } = await start(setup);
    const memory = space.allocate((4 << 20) + 1, { dmaMask });
    assertEquals(memory.size, (4 << 20) + 4096);
    const words = new Uint32Array(memory.buffer);
    assert(words.every((word) => word === 0));
    // one number in each page, some of which the device reads
    for (let page = 0; page < 1025; page++) words[page * 1024] = page;
    for (const page of [1, 511, 512, 1024]) {
      await edu.copy(memory.iova + BigInt(page * 4096), memory.iova, 4);
      assertEquals(words[0], page);
    }
  },
);

forEachBackend(
  "AddressSpace.allocate() takes huge pages when the host has them",
  async (setup) => {
    const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    const { kernel } = setup;
    const reserve = (pages: number) =>
      kernel.writeFile(`${pool}/nr_hugepages`, String(pages));
    const free = () => Number(kernel.readFile(`${pool}/free_hugepages`));
    const { space, edu } = await start(setup);
    const allocate = () =>
      space.allocate(3 << 20, { hugepages: "2M", dmaMask });

    reserve(0);
    const error = await refused("NO_MEMORY", allocate);
    assertStringIncludes(error.hint!, `${pool}/nr_hugepages`);
    reserve(2);
    try {
      const memory = allocate();
      assertEquals(memory.size, 4 << 20);
      assertEquals(memory.iova % (1n << 21n), 0n);
      const border = (2 << 20) - 1024;
      randomize(memory.bytes.subarray(border));
      await edu.copy(memory.iova + BigInt(border), memory.iova, 2048);
      assertEquals(
        memory.bytes.slice(0, 2048),
        memory.bytes.slice(border, border + 2048),
      );
      assertEquals(free(), 0);
      memory.free();
      assertEquals(free(), 2);
    } finally {
      reserve(0);
    }
  },
);

forEachBackend(
  "AddressSpace.allocate() maps at the IOVA when one is given",
  async (setup) => {
    const { space, edu } = await start(setup);
    const memory = space.allocate(8192, { iova: 0xabc_d000n });
    assertEquals(memory.iova, 0xabc_d000n);
    await assertCopies(edu, memory);
  },
);

forEachBackend(
  "AddressSpace.allocate() throws when the IOVA is taken",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    for (
      const iova of [memory.iova, memory.iova + 4096n, memory.iova - 4096n]
    ) {
      await refused("IOVA_OVERLAP", () => space.allocate(8192, { iova }));
    }
    await assertCopies(edu, memory);
    const { iova } = memory;
    memory.free();
    space.allocate(8192, { iova });
  },
);

forEachBackend(
  "AddressSpace.map() lets the devices of two spaces share memory",
  async (setup) => {
    const { edu: theirs, memory } = await start(setup);
    const space = setup.space();
    const ours = new Edu(await setup.attach("edu1", space));
    using mapping = space.map(memory, { iova: 0x123_4000n });
    const before = memory.bytes.slice(0, 1024);
    await theirs.copy(memory.iova, memory.iova + 4096n, 1024);
    memory.bytes.fill(0, 0, 1024);
    await ours.copy(mapping.iova + 4096n, mapping.iova, 1024);
    assertEquals(memory.bytes.slice(0, 1024), before);
  },
);

forEachBackend(
  "DmaMemory.free() takes the memory from the devices of every space",
  async (setup) => {
    const { memory } = await start(setup);
    const space = setup.space();
    const theirs = await setup.attach("edu1", space);
    const edu = new Edu(theirs);
    const attached = space.map(memory, { iova: 0x123_4000n });
    const waiting = setup.space();
    waiting.map(memory);
    memory.free();
    await setup.bench.assertFault(() => edu.copyFromDevice(attached.iova, 8));
    await refused("DETACHED", () => space.map(memory));
    await theirs.detach();
    // What has the address by now is not reached.
    setup.space().allocate(8192);
    const device = await setup.attach("edu1", waiting);
    assertEquals(device.attached, true);
  },
);

forEachBackend(
  "AddressSpace.map() keeps a device from writing when memory is mapped for reading",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const { iova } = space.map(memory, { writable: false, dmaMask });
    const before = memory.bytes.slice();
    await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
    assertEquals(memory.bytes, before);
    await edu.copy(iova, memory.iova + 4096n, 512);
    assertEquals(memory.bytes.slice(4096, 4608), before.slice(0, 512));
  },
);

forEachBackend(
  "AddressSpace.unmap() makes one mapping inaccessible to the device",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const byMapping = space.map(memory, { dmaMask });
    const byIova = space.map(memory, { dmaMask });
    await edu.copyFromDevice(byMapping.iova, 512);
    space.unmap(byMapping);
    space.unmap(byIova.iova);
    for (const { iova } of [byMapping, byIova]) {
      await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
      await refused("IOVA_OUT_OF_RANGE", () => space.unmap(iova));
    }
    byMapping.unmap();
    await assertCopies(edu, memory);
  },
);

forEachBackend(
  "AddressSpace.mapAsync() lets the device use memory, and nothing of it when it was aborted",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const mapping = await space.mapAsync(memory, { dmaMask });
    randomize(memory.bytes);
    const before = memory.bytes.slice(0, 512);
    await edu.copy(mapping.iova, mapping.iova + 4096n, 512);
    assertEquals(memory.bytes.slice(4096, 4096 + 512), before);
    mapping.unmap();
    await setup.bench.assertFault(() => edu.copyFromDevice(mapping.iova, 512));

    const { signal } = new AbortController();
    const aborted = new AbortController();
    const { locked } = setup;
    const iova = mapping.iova;
    const map = space.mapAsync(memory, { iova, signal: aborted.signal });
    aborted.abort(new Error("given up"));
    await assertRejects(() => map, Error, "given up");
    assertEquals(setup.locked, locked);
    await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
    await space.mapAsync(memory, { iova, signal });
    await edu.copyFromDevice(iova, 512);
  },
);

forEachBackend(
  "AddressSpace.unmapAll() makes every mapping inaccessible to the device",
  async (setup) => {
    const { space, edu, memory } = await start(setup);
    const more = Array.from(
      { length: 3 },
      () => space.allocate(4096, { dmaMask }),
    );
    const before = memory.bytes.slice();
    const iovas = [memory, ...more].map(({ iova }) => iova);
    space.unmapAll();
    assertEquals(setup.locked, 0);
    for (const iova of iovas) {
      await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
    }
    assertEquals(memory.bytes, before);
    assertEquals(memory.mapped, false);
    await refused("DETACHED", () => memory.iova);
    space.unmapAll();
    space.map(memory, { iova: iovas[0]! });
    await edu.copyFromDevice(memory.iova, 512);
  },
);

forEachBackend(
  "DmaMemory.free() makes the memory inaccessible to the device and to views",
  async (setup) => {
    const { edu, memory } = await start(setup);
    const { bytes, iova } = memory;
    memory.free();
    memory.free();
    assertEquals(bytes.length, 0);
    assertEquals(setup.locked, 0);
    await refused("DETACHED", () => memory.bytes);
    await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
  },
);

forEachBackend(
  "AddressSpace.backend is the backend when a device is attached",
  async (setup) => {
    const space = setup.space();
    assertEquals(space.backend, undefined);
    const device = await setup.attach("edu0", space);
    assertEquals(space.backend, {
      backend: setup.backend,
      reason: "asked for",
    });
    assertEquals(device.name, setup.address("edu0"));
    await device.detach();
    assertEquals(space.backend, undefined);
  },
);

forEachBackend(
  "AddressSpace.allocate() and limits() work when a detach is under way",
  async (setup) => {
    const { address } = await setup.take("edu0");
    let probing = Promise.resolve();
    const probe = async () => {
      for (let moment = 0; moment < 50; moment++) {
        space.allocate(4096).free();
        assertEquals(space.limits().alignment, 4096n);
        await undefined;
      }
    };
    const kernel = intercept(setup.kernel, ({ method }, proceed) => {
      if (method !== "closeAsync") return proceed();
      return (proceed() as Promise<void>).then(() => void (probing = probe()));
    });
    const { backend } = setup;
    await using space = new AddressSpace({
      host: new Host({ kernel }),
      backend,
    });
    const device = await VfioDevice.attach(address, space);
    await device.detach();
    await probing;
  },
);
