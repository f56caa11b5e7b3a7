/**
 * What an IOAS maps: memory, files and dma-bufs, copies, and which IOVAs.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Hwpt } from "../../../../backends/iommufd/mod.ts";
import { failure } from "../../../failures.ts";
import { host } from "../setup.ts";
import { APERTURE, PAGE } from "./mock.ts";
import { onMock } from "./test.ts";

const MFD_CLOEXEC = 1;

onMock(
  "Ioas.unsafeMap() maps at an IOVA, or where the kernel chooses",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const device = mock.device(ioas);
    const table = Hwpt.allocate(device, ioas);
    const memory = mock.memory(2 * PAGE);
    const fixed = ioas.unsafeMap(
      { address: memory.address, size: 2 * PAGE },
      { iova: APERTURE },
    );
    assertEquals(fixed, APERTURE);
    const chosen = ioas.unsafeMap({ address: memory.address, size: PAGE });
    assert(chosen > APERTURE, String(chosen));
    assert(mock.translates(table, APERTURE, memory));
    failure(
      "IOVA_OVERLAP",
      () =>
        ioas.unsafeMap({ address: memory.address, size: PAGE }, {
          iova: APERTURE + BigInt(PAGE),
        }),
    );
    failure(
      "IOVA_OUT_OF_RANGE",
      () =>
        ioas.unsafeMap({ address: memory.address, size: PAGE }, { iova: 0n }),
    );
    failure(
      "NO_MEMORY",
      () => ioas.unsafeMap({ address: 0x1000n, size: PAGE }),
    );
    failure("IOVA_OUT_OF_RANGE", () => ioas.unmap(APERTURE, PAGE));
    assertEquals(ioas.unmap(APERTURE, 2 * PAGE), BigInt(2 * PAGE));
    assertEquals(ioas.unmapAll(), BigInt(PAGE));
    assertEquals(ioas.unmapAll(), 0n);
    assert(!mock.translates(table, APERTURE, memory));
    assert(mock.pinned(memory, 0));
  },
);

onMock(
  "Ioas.copy() maps what another has, without counting it again",
  (mock) => {
    const from = mock.iommufd.allocateIoas();
    const to = mock.iommufd.allocateIoas();
    const table = Hwpt.allocate(mock.device(to), to);
    const memory = mock.memory(4 * PAGE);
    const { address } = memory;
    from.unsafeMap({ address, size: 4 * PAGE }, { iova: 0n, writable: false });
    // A part of an area, which ends inside it.
    const page = BigInt(PAGE);
    const readOnly = { iova: APERTURE, writable: false };
    assertEquals(to.copy(from, page, 2 * PAGE, readOnly), APERTURE);
    const part = {
      ...memory,
      address: address + page,
      length: 2 * PAGE,
    };
    assert(mock.translates(table, APERTURE, part));
    failure("PERMISSION_DENIED", () => to.copy(from, 0n, PAGE));
    failure(
      "IOVA_OUT_OF_RANGE",
      () => to.copy(from, 3n * page, 2 * PAGE, { writable: false }),
    );
    failure("IOVA_OVERLAP", () => to.copy(from, 0n, PAGE, readOnly));
    // The source may go: the memory stays pinned.
    from.destroy();
    assert(mock.translates(table, APERTURE, part));
  },
);

onMock(
  "Ioas.allow() keeps mappings and devices within IOVAs",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const { address } = mock.memory(PAGE);
    ioas.allow([{ start: 0x40_0000n, last: 0x4f_ffffn }]);
    assertEquals(ioas.unsafeMap({ address, size: PAGE }), 0x40_0000n);
    // Not one that is fixed.
    ioas.unsafeMap({ address, size: PAGE }, { iova: 0n });
    // The mock cannot translate these IOVAs.
    assertThrows(() => mock.device(ioas), Error, "EADDRINUSE");
    ioas.allow([]);
    ioas.unmapAll();
    mock.device(ioas);
    assertEquals(ioas.limits(), {
      ranges: [{ start: APERTURE, last: 0x7fff_ffffn }],
      // The mock's pages are of 2 KiB.
      alignment: 2048n,
    });
    mock.reserve(ioas, 0x200_0000n, 0x1000n);
    assertEquals(ioas.limits().ranges, [
      { start: APERTURE, last: 0x1ff_ffffn },
      { start: 0x200_1000n, last: 0x7fff_ffffn },
    ]);
    failure(
      "IOVA_OUT_OF_RANGE",
      () => ioas.allow([{ start: 0x200_0000n, last: 0x2ff_ffffn }]),
    );
    for (
      const ranges of [
        [{ start: 2n, last: 1n }],
        [{ start: 0n, last: 10n }, { start: 10n, last: 20n }],
      ]
    ) assertThrows(() => ioas.allow(ranges), RangeError);
  },
);

onMock(
  "Ioas.mapFile() maps a memfd, whose descriptor may be closed",
  (mock) => {
    const { kernel } = host;
    const ioas = mock.iommufd.allocateIoas();
    const table = Hwpt.allocate(mock.device(ioas), ioas);
    const fd = kernel.memfd("guest", MFD_CLOEXEC);
    kernel.ftruncate(fd, BigInt(4 * PAGE));
    const memory = kernel.mmap(2 * PAGE, 3, 1, fd, BigInt(PAGE));
    try {
      const file = { fd, offset: PAGE };
      assertEquals(
        ioas.mapFile(file, 2 * PAGE, { iova: APERTURE }),
        APERTURE,
      );
      failure(
        "IOVA_OUT_OF_RANGE",
        () => ioas.mapFile({ fd, offset: 3 * PAGE }, 2 * PAGE),
      );
      kernel.close(fd);
      assert(mock.translates(table, APERTURE, memory));
      failure("KERNEL", () => ioas.mapFile({ fd: -1, offset: 0 }, PAGE));
    } finally {
      kernel.munmap(memory);
    }
  },
);

onMock(
  "Ioas.mapFile() maps a dma-buf until its device takes it back",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    mock.device(ioas);
    const fd = mock.dmaBuf(4 * PAGE);
    try {
      const file = { fd, offset: PAGE };
      const map = () => ioas.mapFile(file, 2 * PAGE, { iova: APERTURE });
      map();
      mock.revoke(fd, true);
      const { message } = failure("INACCESSIBLE", map);
      assert(message.includes("revoked"), message);
      mock.revoke(fd, false);
      // The area is there, and dead.
      failure("IOVA_OVERLAP", map);
      ioas.unmap(APERTURE, 2 * PAGE);
      map();
      failure(
        "IOVA_OUT_OF_RANGE",
        () => ioas.mapFile({ fd, offset: 4 * PAGE }, PAGE),
      );
      // Not memory of a file.
      failure("NOT_SUPPORTED", () => mock.iommufd.changeProcess());
      ioas.unmapAll();
    } finally {
      host.kernel.close(fd);
    }
  },
);

onMock(
  "Ioas.hugePages forbids large pages until something is mapped",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    assertEquals(ioas.hugePages, true);
    ioas.hugePages = false;
    assertEquals(ioas.hugePages, false);
    ioas.hugePages = true;
    mock.device(ioas);
    const { address } = mock.memory(PAGE);
    ioas.unsafeMap({ address, size: PAGE });
    failure("IN_USE", () => ioas.hugePages = false);
    ioas.unmapAll();
    ioas.hugePages = false;
  },
);

onMock(
  "Ioas.physicalAddress() says that an IOMMU translates",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    mock.device(ioas);
    const { address } = mock.memory(PAGE);
    const iova = ioas.unsafeMap({ address, size: PAGE });
    failure("NOT_SUPPORTED", () => ioas.physicalAddress(iova, PAGE));
    failure("IOVA_OUT_OF_RANGE", () => ioas.physicalAddress(0n, PAGE));
  },
);
