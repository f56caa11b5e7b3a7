/**
 * Memory for devices that no IOMMU isolates: it stays where it is, and they are
 * given its physical addresses.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { O_RDONLY } from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import { Edu } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { since } from "../bench.ts";
import { withoutIommu } from "../setup.ts";
import { attachUnsafely, backendsOf } from "../without_iommu.ts";

/** What the machine's `edu` reaches. */
const DMA_MASK = 0xffff_ffffn;

withoutIommu(
  "AddressSpace maps at no IOVA, and no memory that can move, when its device has no IOMMU",
  async (setup) => {
    using _mode = setup.noIommuMode();
    using _pages = setup.hugePages(1);
    for (const backend of backendsOf(setup)) {
      const { space } = await attachUnsafely(setup, backend);
      const attached = setup.bench.holdings();
      const error = await refused(
        "IOVA_OUT_OF_RANGE",
        () => space.allocate(4096, { iova: 0x10_0000n }),
      );
      assertStringIncludes(error.message, "without an IOMMU nothing can be");
      const { address } = setup.memory(4096);
      const movable = await refused(
        "NOT_SUPPORTED",
        () => space.unsafeMap({ address, size: 4096 }),
      );
      assertStringIncludes(movable.message, "may move them");
      setup.closeAll();
      assertEquals(setup.bench.holdings(), attached);
      await space.close();
    }
  },
);

withoutIommu(
  "AddressSpace.allocate() gives memory that a device without an IOMMU reaches by its physical address",
  async (setup) => {
    using _mode = setup.noIommuMode();
    using _pages = setup.hugePages(8);
    for (const backend of backendsOf(setup)) {
      const { space, device } = await attachUnsafely(setup, backend);
      const before = setup.bench.holdings();
      const memory = space.allocate(8192, { dmaMask: DMA_MASK });
      assertEquals(memory.size, 2 ** 21);
      const { address, length } = memory.physical();
      assertEquals(length, memory.size);
      assertEquals(address % 2n ** 21n, 0n);
      assertEquals(address + BigInt(length) <= DMA_MASK + 1n, true);
      assertEquals(memory.physical(4097), {
        address: address + 4097n,
        length: length - 4097,
      });
      assertEquals(memory.physical(2 ** 21 - 1).length, 1);

      crypto.getRandomValues(memory.bytes.subarray(0, 4096));
      await new Edu(device).copy(address, address + 4096n, 4096);
      assertEquals(
        memory.bytes.slice(4096, 8192),
        memory.bytes.slice(0, 4096),
      );
      const iova = await refused("NOT_SUPPORTED", () => memory.iova);
      assertStringIncludes(iova.message, "physical(offset)");

      // It stays where it is, for the next device too.
      await device.detach();
      await refused("DETACHED", () => memory.physical());
      const again = await VfioDevice.attach(device.hostDevice, space);
      assertEquals(memory.physical().address, address);
      assertEquals(memory.bytes[4096], memory.bytes[0]);
      memory.free();
      await again.detach();
      await using other = await VfioDevice.attach(device.hostDevice, space);
      assertEquals(setup.bench.holdings(), before);
      await other.detach();
      await space.close();
    }
  },
);

withoutIommu(
  "AddressSpace.allocate() takes the huge pages that it is asked for, and is NO_MEMORY when there are none",
  async (setup) => {
    using _mode = setup.noIommuMode();
    using _pages = setup.hugePages(3);
    for (const backend of backendsOf(setup)) {
      const { space } = await attachUnsafely(setup, backend);
      const before = setup.bench.holdings();
      const memory = space.allocate(5 * 2 ** 20, { hugepages: "2M" });
      assertEquals(memory.size, 6 * 2 ** 20);
      for (let offset = 0; offset < memory.size; offset += 2 ** 21) {
        const { address, length } = memory.physical(offset);
        assertEquals(address % 2n ** 21n, 0n);
        assertEquals(length >= 2 ** 21, true);
      }
      const none = await refused("NO_MEMORY", () => space.allocate(4096));
      assertStringIncludes(none.message, "hugepages-2048kB/nr_hugepages");
      memory.free();
      const far = await refused(
        "NO_MEMORY",
        () => space.allocate(4096, { dmaMask: 0xfffn }),
      );
      assertStringIncludes(
        far.message,
        "none of 3 free huge pages lies within 0xfff",
      );
      assertEquals(setup.bench.holdings(), before);
      await space.close();
    }
  },
);

withoutIommu(
  "IOMMU_IOAS_NOIOMMU_GET_PA answers for what is mapped in the IOAS of a device without an IOMMU",
  async (setup) => {
    using _mode = setup.noIommuMode();
    if (!since(setup.bench.release, 7, 3)) return;
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    const ioas = iommufd.allocate();
    const { address: user_va } = setup.memory(8192);
    iommufd.map({ ioas_id: ioas, user_va, iova: 0n, length: 8192n });
    const locate = (iova: bigint, length: bigint) =>
      iommufd.locate({ ioas_id: ioas, iova, length });
    assertEquals(answer(() => locate(0n, 4096n)), "EOPNOTSUPP");
    cdev.bind(iommufd);
    cdev.attach(ioas);
    const { address, length } = locate(0n, 4096n);
    assertEquals([address % 4096n, length], [0n, 4096n]);
    assertEquals(locate(8n, 16n), { address: address + 8n, length: 16n });
    const rest = locate(0n, 1n << 40n).length;
    assertEquals([4096n, 8192n].includes(rest), true);
    assertEquals(locate(4100n, 1n << 40n).length, 4092n);
    assertEquals(answer(() => locate(0n, 0n)), "EINVAL");
    assertEquals(answer(() => locate(8192n, 1n)), "ENOENT");
    assertEquals(answer(() => locate((1n << 64n) - 1n, 1n)), "EOVERFLOW");
    assertEquals(
      answer(() => iommufd.locate({ ioas_id: 99, iova: 0n, length: 1n })),
      "ENOENT",
    );
    assertEquals(
      answer(() => iommufd.locate({ ioas_id: ioas, flags: 1, length: 1n })),
      "EOPNOTSUPP",
    );
    cdev.detach();
    assertEquals(answer(() => locate(0n, 4096n)), "EOPNOTSUPP");
  },
);

withoutIommu(
  "pagemap and IOMMU_IOAS_NOIOMMU_GET_PA tell the same address",
  async (setup) => {
    using _mode = setup.noIommuMode();
    using _pages = setup.hugePages(1);
    if (!since(setup.bench.release, 7, 3)) return;
    const { space } = await attachUnsafely(setup, "iommufd");
    const { kernel } = setup;
    using memory = space.allocate(4096);
    const fd = kernel.open("/proc/self/pagemap", O_RDONLY);
    const entry = new BigUint64Array(1);
    const at = (memory.address / 4096n + 3n) * 8n;
    assertEquals(kernel.pread(fd, new Uint8Array(entry.buffer), at), 8);
    kernel.close(fd);
    assertEquals(entry[0]! >> 63n, 1n);
    const frame = entry[0]! & (1n << 55n) - 1n;
    assertEquals(memory.physical(3 * 4096).address, frame * 4096n);
    memory.free();
    await space.close();
  },
);
