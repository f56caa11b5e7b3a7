/**
 * The addresses of memory in a process, which a container lets go of and is
 * told anew (`VFIO_UPDATE_VADDR`).
 */
import { assertEquals } from "@std/assert";
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UPDATE_VADDR,
} from "../../../lib/uapi/vfio/all.ts";
import { Edu, EDU_DMA_MASK } from "../../vm/guest/edu.ts";
import { answer } from "../answer.ts";
import { since } from "../bench.ts";
import { type Setup, withContainer } from "../setup.ts";

const PAGE = 4096n;
const IOVA = 0x10_0000n;
const DROP = VFIO_DMA_UNMAP_FLAG_VADDR;
const ALL = VFIO_DMA_UNMAP_FLAG_ALL;

async function mapped(setup: Setup) {
  const { container, group } = await setup.readyContainer("edu0");
  const { address: vaddr } = setup.memory(64 * 4096);
  const first = { vaddr, iova: IOVA, size: 4n * PAGE };
  const second = { vaddr, iova: IOVA + 8n * PAGE, size: PAGE };
  container.map(first);
  container.map(second);
  const drop = (values = {}) =>
    answer(() => {
      const { iova, size } = first;
      return container.unmap({ flags: DROP, iova, size, ...values });
    });
  const update = (values = {}) =>
    answer(() =>
      container.map({ flags: VFIO_DMA_MAP_FLAG_VADDR, ...first, ...values })
    );
  return { container, group, first, second, drop, update };
}

withContainer(
  "VFIO_CHECK_EXTENSION tells that addresses can be updated once the IOMMU is set",
  async (setup) => {
    const group = await setup.group("edu0");
    const container = setup.container();
    group.setContainer(container);
    assertEquals(container.extension(VFIO_UPDATE_VADDR), 0);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    assertEquals(container.extension(VFIO_UPDATE_VADDR), 1);
  },
);

withContainer(
  "VFIO_IOMMU_UNMAP_DMA drops addresses of whole mappings, once, and leaves these mapped",
  async (setup) => {
    const { first, second, drop, update } = await mapped(setup);
    assertEquals(drop({ size: PAGE }), "EINVAL");
    assertEquals(drop(), 4n * PAGE);
    assertEquals(drop(), "EINVAL");
    // The one behind is not dropped by a call that fails.
    assertEquals(drop({ flags: DROP | ALL, iova: 0n, size: 0n }), "EINVAL");
    assertEquals(update(second), "EINVAL");
    const { iova, size } = second;
    assertEquals(drop({ iova, size }), PAGE);
    assertEquals(update({ flags: 1 | VFIO_DMA_MAP_FLAG_READ }), "EEXIST");
    assertEquals(update(first), undefined);
    assertEquals(update(second), undefined);
    assertEquals(drop({ flags: DROP | ALL, iova: 0n, size: 0n }), 5n * PAGE);
  },
);

withContainer(
  "VFIO_IOMMU_MAP_DMA tells the address of exactly what was dropped",
  async (setup) => {
    const { drop, update, container } = await mapped(setup);
    drop();
    assertEquals(update({ size: PAGE }), "EINVAL");
    assertEquals(update({ iova: IOVA + PAGE, size: 3n * PAGE }), "EINVAL");
    assertEquals(update({ iova: IOVA + 64n * PAGE }), "ENOENT");
    assertEquals(update(), undefined);
    assertEquals(update(), "EINVAL");
    drop();
    assertEquals(container.unmap({ iova: IOVA, size: 4n * PAGE }), 4n * PAGE);
    assertEquals(update(), "ENOENT");
  },
);

withContainer(
  "VFIO_GROUP_SET_CONTAINER waits for dropped addresses or fails",
  async (setup) => {
    // An older kernel would wait.
    if (!since(setup.bench.release, 6, 3)) return;
    const { container, drop, update } = await mapped(setup);
    const other = await setup.group("edu1");
    drop();
    assertEquals(answer(() => other.setContainer(container)), "EBUSY");
    update();
    other.setContainer(container);
  },
);

withContainer(
  "space.dropAddresses() lets edu go on while memory moves",
  async (setup) => {
    const { kernel } = setup;
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const fd = kernel.memfd("test", 0);
    kernel.ftruncate(fd, 8192n);
    const first = kernel.mmap(8192, 3, 1, fd, 0n);
    const mapping = space.unsafeMap(
      { address: first.address, size: 8192 },
      { dmaMask: EDU_DMA_MASK },
    );
    space.updateAddresses();
    space.dropAddresses();
    // What is mapped meanwhile has its address.
    space.allocate(4096);
    kernel.munmap(first);
    const second = kernel.mmap(8192, 3, 1, fd, 0n);
    kernel.pwrite(fd, Uint8Array.of(1, 2, 3, 4), 0n);
    await edu.copy(mapping.iova, mapping.iova + 4096n, 4);
    space.updateAddresses(() => second.address);
    assertEquals(mapping.address, second.address);
    await edu.copy(mapping.iova + 4096n, mapping.iova + 4100n, 4);
    const seen = new Uint8Array(8);
    kernel.pread(fd, seen, 4096n);
    assertEquals(seen, Uint8Array.of(1, 2, 3, 4, 1, 2, 3, 4));
    // A container that comes maps what is there now.
    await setup.attach("edu1", space);
    mapping.unmap();
    kernel.munmap(second);
    kernel.close(fd);
  },
);
