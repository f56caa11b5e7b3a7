/**
 * IOMMU groups: several in one address space, several functions in one group,
 * and groups with a host driver.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { DmaMemory, VfioDevice } from "../../../mod.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { forEachBackend, type Setup } from "../setup.ts";

/** Asserts that a device copies the first 512 bytes of memory to an offset. */
async function assertCopies(
  device: VfioDevice,
  { iova, bytes }: DmaMemory,
  offset: number,
): Promise<void> {
  const target = bytes.subarray(offset, offset + 512).fill(0);
  await new Edu(device).copy(iova, iova + BigInt(offset), 512);
  assertEquals(target, bytes.subarray(0, 512));
}

/** Two devices in one space, and memory of it. */
async function two(setup: Setup, first: string, second: string) {
  const space = setup.space();
  const memory = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
  crypto.getRandomValues(memory.bytes.subarray(0, 512));
  const devices = [
    await setup.attach(first, space),
    await setup.attach(second, space),
  ] as const;
  return { space, memory, devices };
}

for (
  const [which, gone, left] of [["first", 0, 1], ["second", 1, 0]] as const
) {
  forEachBackend(
    `VfioDevice.detach() keeps the other group of its space attached when the ${which} is detached`,
    async (setup) => {
      const { memory, devices } = await two(setup, "edu0", "edu1");
      const [edu0, edu1] = devices;
      // Both see the same memory at the same IOVA.
      await assertCopies(edu0, memory, 1024);
      await assertCopies(edu1, memory, 2048);
      await devices[gone].detach();
      await assertCopies(devices[left], memory, 1024);
      using later = devices[left].space
        .allocate(4096, { dmaMask: EDU_DMA_MASK });
      await assertCopies(devices[left], later, 2048);
    },
  );

  forEachBackend(
    `VfioDevice.detach() keeps the other function of its group attached when the ${which} is detached`,
    async (setup) => {
      const { space, memory, devices } = await two(setup, "pair0", "pair1");
      await assertCopies(devices[0], memory, 1024);
      await assertCopies(devices[1], memory, 2048);
      await devices[gone].detach();
      await assertCopies(devices[left], memory, 1024);
      const again = await setup.attach(["pair0", "pair1"][gone]!, space);
      await assertCopies(again, memory, 2048);
    },
  );
}

forEachBackend(
  "VfioDevice.attach() throws when the group is in another space, and the first device goes on",
  async (setup) => {
    const { memory, devices } = await two(setup, "pair0", "edu0");
    await setup.take("pair1");
    const before = setup.descriptors;
    const other = setup.space();
    const attach = () => setup.attach("pair1", other);
    const error = await refused("GROUP_IN_OTHER_SPACE", attach);
    assertEquals(error.device, setup.address("pair1"));
    assertEquals(setup.descriptors, before);
    await assertCopies(devices[0], memory, 1024);
    await devices[0].detach();
    await attach();
  },
);

forEachBackend(
  "VfioDevice.attach() gives a group to one space when two attach it at once",
  async (setup) => {
    await Promise.all([setup.take("pair0"), setup.take("pair1")]);
    const space = setup.space();
    const [first] = await Promise.all([
      setup.attach("pair0", space),
      refused("GROUP_IN_OTHER_SPACE", () => setup.attach("pair1")),
    ]);
    assertEquals(first.attached, true);
    await setup.attach("pair1", space);
  },
);

forEachBackend(
  "VfioDevice.attach() attaches both functions of a group at once",
  async (setup) => {
    await Promise.all([setup.take("pair0"), setup.take("pair1")]);
    const space = setup.space();
    const devices = await Promise.all([
      setup.attach("pair0", space),
      setup.attach("pair1", space),
    ]);
    const memory = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
    crypto.getRandomValues(memory.bytes.subarray(0, 512));
    await Promise.all(
      devices.map((device, i) => assertCopies(device, memory, 1024 * (i + 1))),
    );
  },
);

forEachBackend(
  "VfioDevice.attach() names the function in the way when the group is not viable",
  async (setup) => {
    await setup.take("mixed1");
    const before = setup.descriptors;
    const space = setup.space();
    const attach = () => setup.attach("mixed1", space);
    const error = await refused("GROUP_NOT_VIABLE", attach);
    assertEquals(error.device, setup.address("mixed1"));
    assertStringIncludes(
      error.message,
      `${setup.address("mixed0")} is bound to nvme`,
    );
    assertStringIncludes(
      error.hint!,
      `host.take("${setup.address("mixed0")}")`,
    );
    assertEquals(setup.descriptors, before);

    await setup.take("mixed0");
    const device = await attach();
    const memory = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
    crypto.getRandomValues(memory.bytes.subarray(0, 512));
    await assertCopies(device, memory, 1024);
  },
);
