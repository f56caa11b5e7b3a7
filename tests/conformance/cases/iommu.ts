/**
 * In what IOMMUs differ: which IOVAs they translate, what the kernel tells of
 * them, what they lack, and whether the kernel trusts devices behind them.
 * `tests/vm/iommus.ts` has what each is expected to answer.
 */
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_EEH,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from "../../../lib/uapi/vfio/all.ts";
import {
  Hwpt,
  NestedHwpt,
  vtdFirstStage,
  vtdInvalidations,
} from "../../../backends/iommufd/mod.ts";
import { diagnose } from "../../../lib/doctor/mod.ts";
import { failure, refused } from "../../failures.ts";
import { Edu } from "../../vm/guest/edu.ts";
import { IOMMUS, translated } from "../../vm/iommus.ts";
import {
  forEachBackend,
  IOMMU_SYSTEMS,
  withContainer,
  withIommufd,
} from "../setup.ts";

const SCOPE = { systems: IOMMU_SYSTEMS };

/** The systems whose devices do DMA and interrupt. */
const DELIVERING = {
  systems: IOMMU_SYSTEMS.filter(({ isReal, machine: { iommu } }) =>
    !isReal || iommu === "none" || IOMMUS[iommu].delivers
  ),
};

const LAST = 0xffff_ffff_ffff_ffffn;

forEachBackend(
  "AddressSpace.limits() returns what can be mapped",
  async (setup) => {
    const space = setup.space();
    assertEquals(space.limits().mappingsAvailable, undefined);
    const device = await setup.attach("edu0", space);
    const before = space.limits();
    assertEquals(before.alignment, 4096n);
    assertEquals(before.ranges, translated(setup.iommu));
    assertEquals(before.reserved, setup.iommu.reserved);
    assertEquals(before.memoryLock, { limit: undefined, locked: 0n });

    space.allocate(1 << 20);
    const after = space.limits();
    assertEquals(after.memoryLock.locked, 1n << 20n);
    if (setup.backend === "legacy") {
      assertEquals(after.mappingsAvailable, before.mappingsAvailable! - 1);
    } else {
      assertEquals(after.mappingsAvailable, undefined);
    }
    await device.detach();
    assertEquals(space.limits().memoryLock.locked, 0n);
    assertEquals(space.limits().reserved, []);
  },
  SCOPE,
);

forEachBackend(
  "AddressSpace.allocate() throws when the IOMMU cannot translate the IOVA",
  async (setup) => {
    const space = setup.space();
    await setup.attach("edu0", space);
    const refuses = (iova: bigint) =>
      refused("IOVA_OUT_OF_RANGE", () => space.allocate(8192, { iova }));
    for (const { start, last } of setup.iommu.reserved) {
      await refuses(start);
      await refuses(start - 4096n);
      await refuses(last - 4095n);
      space.allocate(4096, { iova: start - 4096n }).free();
      space.allocate(4096, { iova: last + 1n }).free();
    }
    // The last page that it translates, and what reaches beyond.
    const { last } = setup.iommu;
    space.allocate(4096, { iova: last - 4095n }).free();
    if (last < LAST) await refuses(last - 4095n);
  },
  SCOPE,
);

withContainer(
  "VFIO_CHECK_EXTENSION returns what a container supports",
  async (setup) => {
    const container = setup.container();
    const extensions = () =>
      [
        VFIO_TYPE1_IOMMU,
        VFIO_TYPE1v2_IOMMU,
        VFIO_UNMAP_ALL,
        VFIO_UPDATE_VADDR,
        VFIO_DMA_CC_IOMMU,
        VFIO_SPAPR_TCE_IOMMU,
        VFIO_EEH,
        99,
      ].filter((extension) => container.extension(extension) === 1);
    assertEquals(container.version(), 0);
    const empty = [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL];
    assertEquals(extensions(), empty);
    const group = await setup.group("edu0");
    group.setContainer(container);
    assertEquals(container.extension(VFIO_NOIOMMU_IOMMU), 0);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    assertEquals(extensions(), [
      ...empty,
      VFIO_UPDATE_VADDR,
      ...setup.iommu.forcesCoherency ? [VFIO_DMA_CC_IOMMU] : [],
    ]);
    group.unsetContainer();
    assertEquals(extensions(), empty);
  },
  SCOPE,
);

withIommufd(
  "IommufdDevice.hardwareInfo() says what this IOMMU lacks, and so do the calls",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("edu0", space);
    const { ioas, find } = await space.iommufd();
    const bound = find(device);
    const info = bound.hardwareInfo();
    const { hardware: { kind, type, bytes }, tables } = setup.iommu;
    assertEquals(
      [info.kind, info.dirtyTracking, info.pasids, info.data.length],
      [kind, false, 0, bytes],
    );
    assertEquals(bound.hardwareInfo(type).kind, kind);
    if (bytes > 0) failure("NOT_SUPPORTED", () => bound.hardwareInfo(2));
    for (const options of [{ dirtyTracking: true }, { nestParent: true }]) {
      failure("NOT_SUPPORTED", () => Hwpt.allocate(bound, ioas, options));
    }
    const pasid = () => Hwpt.allocate(bound, ioas, { pasid: true });
    if (!tables.pasids) failure("NOT_SUPPORTED", pasid);
    const table = tables.pasids ? pasid() : Hwpt.allocate(bound, ioas);
    failure("NOT_SUPPORTED", () => bound.attachPasid(1, table));
    assertThrows(() => bound.attachPasid(0, table), RangeError);
    failure("NOT_SUPPORTED", () => table.setDirtyTracking(true));
    const data = vtdFirstStage({ address: 0x1000n, addressBits: 48 });
    failure("NOT_SUPPORTED", () => NestedHwpt.allocate(bound, table, data));
    const requests = vtdInvalidations([{ address: 0n, pages: 1n }]);
    assertEquals([requests.type, requests.entrySize], [0, 24]);
    const { iova } = space.allocate(4096);
    failure("NOT_SUPPORTED", () => ioas.physicalAddress(iova, 4096));
  },
  SCOPE,
);

/** Where the kernel is told to trust devices, by backend. */
const TRUST = {
  iommufd: "/sys/module/iommufd/parameters/allow_unsafe_interrupts",
  legacy: "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
} as const;

forEachBackend(
  "VfioDevice.attach() says what to do when the kernel does not trust a device, as does the doctor",
  async (setup) => {
    const { kernel, backend, iommu } = setup;
    const found = () =>
      diagnose(setup.host).findings
        .find(({ check }) => check === "interrupt-remapping")!;
    if (iommu.isolatesInterrupts) {
      assertEquals(found().verdict, "pass");
      await setup.attach("edu0");
      return;
    }
    assertEquals(found().verdict, "warn");
    const path = TRUST[backend];
    const other = TRUST[backend === "legacy" ? "iommufd" : "legacy"];
    kernel.writeFile(path, "0");
    try {
      assertStringIncludes(found().text, "unlike");
      const fn = await setup.take("edu0");
      const error = await refused(
        "PERMISSION_DENIED",
        () => setup.attach("edu0"),
      );
      assertEquals(error.device, fn.address);
      assertStringIncludes(error.message, "interrupts");
      // What it says can be typed, and is no longer said then.
      assertStringIncludes(error.hint!, `echo 1 | tee ${path}`);
      assert(!error.hint!.includes(other), error.hint);
      kernel.writeFile(other, "0");
      assertEquals(found().verdict, "fail");
      assertStringIncludes(found().remedy!, path);
    } finally {
      kernel.writeFile(path, "1");
      kernel.writeFile(other, "1");
    }
    await setup.attach("edu0");
    assertEquals(found().verdict, "warn");
  },
  SCOPE,
);

forEachBackend(
  "a device copies at the edges of what its IOMMU translates, and nowhere else",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("edu1", space);
    const edu = new Edu(device);
    const { reserved: [window] } = setup.iommu;
    // An edu reaches 256 MiB: the lowest page, and the last of them.
    const low = space.allocate(4096, { iova: 0n });
    const high = space.allocate(4096, { iova: 0xfff_f000n });
    crypto.getRandomValues(low.bytes);
    await edu.copy(low.iova, high.iova, 4096);
    assertEquals(high.bytes, low.bytes);
    // Memory just below the window of interrupts does not reach into it.
    const below = space.allocate(4096, { iova: window!.start - 4096n });
    below.bytes.fill(0xa5);
    await setup.bench.assertFault(() => edu.copyFromDevice(0x800_0000n, 512));
    assert(below.bytes.every((byte) => byte === 0xa5));
    // What is unmapped is out of reach at once, whatever was cached.
    const { iova } = high;
    high.free();
    await setup.bench.assertFault(() => edu.copyFromDevice(iova, 512));
    const again = space.allocate(4096, { iova });
    await edu.copy(low.iova, again.iova, 4096);
    assertEquals(again.bytes, low.bytes);
  },
  DELIVERING,
);

forEachBackend(
  "a device reads and writes memory that is mapped by large pages, and what replaces it",
  async (setup) => {
    using _pages = setup.hugePages(2);
    const space = setup.space();
    const edu = new Edu(await setup.attach("edu0", space));
    const size = 4 << 20;
    const allocate = () =>
      space.allocate(size, { iova: 0x40_0000n, hugepages: "2M" });
    for (const value of [0x11, 0x22]) {
      using memory = allocate();
      // Ends of pages of every size, where a page table's walk could be wrong.
      for (const at of [0, 0x7000, 0xf000, 0x1f_f000, 0x20_0000, 0x3f_e000]) {
        memory.bytes.fill(value, at, at + 512);
        await edu.copy(memory.iova + BigInt(at), 0x40_1000n, 512);
        assertEquals(
          memory.bytes.slice(4096, 4608),
          memory.bytes.slice(at, at + 512),
        );
      }
    }
    await setup.bench.assertFault(() => edu.copyFromDevice(0x40_0000n, 512));
  },
  DELIVERING,
);
