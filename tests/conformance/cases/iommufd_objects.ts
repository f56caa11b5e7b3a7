/**
 * The objects of `space.iommufd()`, on devices of an address space.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { FaultQueue, Hwpt, Iommufd } from "../../../backends/iommufd/mod.ts";
import { failure, refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { forEachBackend, type Setup, withIommufd } from "../setup.ts";

/** The addresses that edu can reach. */
const dmaMask = EDU_DMA_MASK;

/** A space with edu0. */
async function attached(setup: Setup) {
  const space = setup.space();
  const device = await setup.attach("edu0", space);
  const door = await space.iommufd();
  return { space, device, ...door, find: door.find, bound: door.find(device) };
}

forEachBackend(
  "AddressSpace.iommufd() is there with iommufd, and says why it is not",
  async (setup) => {
    const space = setup.space();
    await refused("DETACHED", () => space.iommufd());
    const device = await setup.attach("edu0", space);
    if (setup.backend === "legacy") {
      const { message } = await refused("NOT_SUPPORTED", () => space.iommufd());
      assert(message.includes("container"), message);
      return;
    }
    const { iommufd, ioas, find } = await space.iommufd();
    assertEquals((await space.iommufd()).ioas, ioas);
    assertEquals(find(device).attachedTo, ioas);
    assertEquals(find(device).id, device.deviceId);
    assertEquals(ioas.limits().ranges, space.limits().ranges);
    // The space needs them.
    failure("IN_USE", () => ioas.destroy());
    failure("IN_USE", () => iommufd.close());
    await device.detach();
    failure("DETACHED", () => ioas.limits());
    failure("DETACHED", () => iommufd.allocateIoas());
    failure("DETACHED", () => find(device));
    await refused("DETACHED", () => space.iommufd());
  },
);

withIommufd(
  "a device moves to a page table and back while its memory stays mapped",
  async (setup) => {
    const { space, device, ioas, iommufd, bound } = await attached(setup);
    const memory = space.allocate(8192, { dmaMask });
    const edu = new Edu(device);
    const copies = async (value: number) => {
      memory.bytes.fill(0).fill(value, 0, 4096);
      await edu.copy(memory.iova, memory.iova + 4096n, 4096);
      return memory.bytes.every((byte) => byte === value);
    };
    assert(await copies(0x11));
    const table = Hwpt.allocate(bound, ioas);
    assertEquals(bound.attach(table), table.id);
    assertEquals(table.users, [device.name]);
    assertEquals(bound.attachedTo, table);
    assert(await copies(0x22));
    failure("IN_USE", () => table.destroy());
    // What is mapped from here on, it sees too.
    const more = space.allocate(4096, { dmaMask });
    await edu.copy(memory.iova, more.iova, 4096);
    assertEquals(more.bytes[0], 0x22);
    bound.attach(ioas);
    assert(await copies(0x33));
    table.destroy();
    // Another IOAS of the same iommufd has nothing at that IOVA.
    const other = iommufd.allocateIoas();
    bound.attach(other);
    await setup.bench.assertFault(() => edu.copyFromDevice(memory.iova, 512));
    other.unsafeMap(memory, { iova: memory.iova });
    assert(await copies(0x44));
    bound.detach();
    await setup.bench.assertFault(() => edu.copyFromDevice(memory.iova, 512));
    assertEquals(bound.attachedTo, undefined);
    bound.attach(ioas);
    assert(await copies(0x55));
    other.destroy();
  },
);

withIommufd(
  "VfioDevice.attach() takes a page table in place of the IOAS, and shares it",
  async (setup) => {
    const { space, device, ioas, find, bound } = await attached(setup);
    const memory = space.allocate(4096, { dmaMask });
    const pageTable = Hwpt.attach(bound, ioas);
    const second = await VfioDevice.attach(await setup.take("edu1"), space, {
      pageTable,
    });
    assertEquals(find(second).attachedTo, pageTable);
    assertEquals(pageTable.users, [device.name, second.name]);
    assertEquals(Hwpt.attach(find(second), ioas), pageTable);
    memory.bytes.set([7]);
    const edu = new Edu(second);
    await edu.copyToDevice(memory.iova, 8);
    await device.detach();
    assertEquals(pageTable.users, [second.name]);
    await second.detach();
    assertEquals(pageTable.destroyed, true);
  },
);

withIommufd(
  "VfioDevice.attach() refuses a page table of another iommufd",
  async (setup) => {
    const { ioas, bound } = await attached(setup);
    const pageTable = Hwpt.allocate(bound, ioas);
    const second = await setup.take("edu1");
    for (const space of [setup.space(), setup.space({ backend: "legacy" })]) {
      const attach = () => VfioDevice.attach(second, space, { pageTable });
      if (space.backend === undefined) await assertRejects(attach);
    }
    assertEquals(pageTable.users, []);
  },
);

withIommufd(
  "what was made of a space goes with its last device, in any order",
  async (setup) => {
    const { space, device, ioas, iommufd, bound } = await attached(setup);
    const table = Hwpt.allocate(bound, ioas);
    const queue = FaultQueue.allocate(iommufd);
    bound.attach(table);
    const waiting = queue.next();
    await device.detach();
    await refused("DETACHED", () => waiting);
    for (const object of [table, queue, ioas]) {
      assertEquals(object.destroyed, true, object.name);
    }
    // The space begins anew.
    const again = await setup.attach("edu0", space);
    const door = await space.iommufd();
    assert(door.ioas !== ioas);
    assertEquals(door.find(again).attachedTo, door.ioas);
  },
);

withIommufd(
  "several spaces share an iommufd, each with its own IOAS",
  async (setup) => {
    const { host } = setup;
    using iommufd = Iommufd.open(host);
    await using first = new AddressSpace({ host, iommufd });
    await using second = new AddressSpace({ host, iommufd });
    const edus = [];
    for (const [name, space] of [["edu0", first], ["edu1", second]] as const) {
      const device = await setup.attach(name, space);
      assertEquals((await space.iommufd()).iommufd, iommufd);
      edus.push({ device, space, edu: new Edu(device) });
    }
    const [one, two] = edus;
    const memory = first.allocate(4096, { dmaMask, iova: 0x10_0000n });
    await one!.edu.copyToDevice(memory.iova, 8);
    await setup.bench.assertFault(() =>
      two!.edu.copyFromDevice(memory.iova, 512)
    );
    const { ioas, find } = await first.iommufd();
    const other = await second.iommufd();
    assert(ioas !== other.ioas);
    // Both are there for both.
    other.find(two!.device).attach(ioas);
    await two!.edu.copyToDevice(memory.iova, 8);
    other.find(two!.device).attach(other.ioas);
    Hwpt.allocate(find(one!.device), ioas);
    failure("IN_USE", () => iommufd.close());
    await one!.device.detach();
    assertEquals(ioas.destroyed, true);
    assertEquals(other.ioas.destroyed, false);
    await two!.device.detach();
    assertEquals([...iommufd.owned], []);
    iommufd.close();
    const { message } = await refused(
      "DETACHED",
      () => setup.attach("edu0", first),
    );
    assert(message.includes("iommufd"), message);
    assertThrows(
      () => new AddressSpace({ host, iommufd, backend: "legacy" }),
      TypeError,
    );
  },
);

withIommufd(
  "an iommufd that was passed in keeps what is not ours",
  async (setup) => {
    const { host } = setup;
    using theirs = Iommufd.open(host);
    const ioas = theirs.allocateIoas();
    using iommufd = Iommufd.from(theirs.fd.number, host);
    await using space = new AddressSpace({ host, iommufd });
    const device = await setup.attach("edu0", space);
    const door = await space.iommufd();
    Hwpt.allocate(door.find(device), door.ioas);
    const queue = FaultQueue.allocate(iommufd);
    await space.close();
    // It was made in the iommufd, not of the space.
    assertEquals(queue.destroyed, false);
    iommufd.close();
    assertEquals(ioas.limits().alignment, 1n);
    assertEquals(theirs.allocateIoas().id, ioas.id + 1);
  },
);
