/**
 * Page tables of a device: what they can do, which pages devices write, several
 * devices on one.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FaultQueue, Hwpt } from "../../../../backends/iommufd/mod.ts";
import { KernelError } from "../../../../mod.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
} from "../../../../lib/uapi/iommufd/all.ts";
import { failure } from "../../../failures.ts";
import { APERTURE, PAGE } from "./mock.ts";
import { onMock } from "./test.ts";

onMock(
  "Hwpt.readDirty() tells exactly the pages that were written",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    ioas.hugePages = false;
    const device = mock.device(ioas);
    const table = Hwpt.allocate(device, ioas, { dirtyTracking: true });
    assertEquals(device.attach(table), table.id);
    const memory = mock.memory(16 * PAGE);
    const iova = ioas.unsafeMap(
      { address: memory.address, size: 16 * PAGE },
      { iova: APERTURE },
    );
    const read = (keep = false) => {
      const bitmap = new Uint8Array(2);
      table.readDirty(iova, 16 * PAGE, PAGE, bitmap, { keep });
      return [...bitmap];
    };
    failure("NOT_SUPPORTED", read);
    table.setDirtyTracking(true);
    assertEquals(table.dirtyTracking, true);
    assertEquals(read(), [0, 0]);
    const written = new Uint8Array([0b0010_0101, 0b1000_0000]);
    assertEquals(mock.write(table, iova, 16 * PAGE, written), 4n);
    assertEquals(read(true), [...written]);
    // The bits are added to those that are there, at any address.
    const bytes = new Uint8Array(8).fill(0);
    bytes[3] = 0b10;
    table.readDirty(iova, 8 * PAGE, PAGE, bytes.subarray(3), { keep: true });
    assertEquals([...bytes.subarray(3, 5)], [0b0010_0111, 0]);
    // Into memory of its own, too.
    const target = mock.memory(PAGE);
    const { address } = target;
    table.readDirty(iova, 16 * PAGE, PAGE, { address, size: PAGE }, {
      keep: true,
    });
    assertEquals(
      [...new Uint8Array(target.buffer, 0, 2)],
      [...written],
    );
    // Two pages a bit.
    const coarse = new Uint8Array(1);
    table.readDirty(iova, 16 * PAGE, 2 * PAGE, coarse, { keep: true });
    assertEquals(coarse[0], 0b1000_0111);
    assertEquals(read(), [...written]);
    assertEquals(read(), [0, 0]);
    mock.write(table, iova, 16 * PAGE, written);
    table.setDirtyTracking(true);
    assertEquals(read(), [0, 0], "a start forgets");
    table.setDirtyTracking(false);
    failure("NOT_SUPPORTED", read);
  },
);

onMock(
  "Hwpt.readDirty() refuses what the kernel would answer with nothing",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const device = mock.device(ioas);
    const table = Hwpt.allocate(device, ioas, { dirtyTracking: true });
    table.setDirtyTracking(true);
    const read = (
      size: number,
      pageSize = PAGE,
      bytes = 1,
      iova = APERTURE,
    ) => table.readDirty(iova, size, pageSize, new Uint8Array(bytes));
    for (
      const args of [
        [0],
        [100],
        [PAGE, 0],
        [3 * PAGE, 3 * PAGE],
        [9 * PAGE],
        [PAGE, PAGE, 0],
        [2 * PAGE, 2 * PAGE, 1, APERTURE + BigInt(PAGE)],
      ] as [number][]
    ) assertThrows(() => read(...args), RangeError, undefined, String(args));
    const plain = Hwpt.allocate(device, ioas);
    failure("NOT_SUPPORTED", () => plain.setDirtyTracking(true));
  },
);

onMock(
  "Hwpt.allocate() refuses what the IOMMU lacks",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const device = mock.device(ioas, { dirty: false });
    assertEquals(device.hardwareInfo().dirtyTracking, false);
    failure(
      "NOT_SUPPORTED",
      () => Hwpt.allocate(device, ioas, { dirtyTracking: true }),
    );
    const faultQueue = FaultQueue.allocate(mock.iommufd);
    assertThrows(
      () => Hwpt.allocate(device, ioas, { nestParent: true, faultQueue }),
      TypeError,
    );
    // It attaches devices that can track only.
    const other = mock.device(ioas);
    const table = Hwpt.allocate(other, ioas, { dirtyTracking: true });
    const { message } = failure("NOT_SUPPORTED", () => device.attach(table));
    assert(message.includes(`page table ${table.id}`), message);
    assertEquals(device.attachedTo, ioas);
  },
);

onMock(
  "Hwpt.attach() gives devices one page table, and another to what does not fit",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const first = mock.device(ioas);
    const second = mock.device(ioas);
    const other = mock.device(ioas, { dirty: false });
    const options = { dirtyTracking: true };
    const table = Hwpt.attach(first, ioas, options);
    assertEquals(Hwpt.attach(second, ioas, options), table);
    assertEquals(table.users, [first.name, second.name]);
    // It would be left without the log that was asked for.
    failure("NOT_SUPPORTED", () => Hwpt.attach(other, ioas, options));
    assertEquals(other.attachedTo, ioas);
    const plain = Hwpt.attach(other, ioas);
    assert(plain !== table);
    assertEquals(Hwpt.attach(second, ioas), plain);
    assertEquals(table.users, [first.name]);
    // Only those two were made.
    assertEquals(
      ioas.users.filter((name) => name.startsWith("page table")),
      [table.name, plain.name],
    );
  },
);

onMock(
  "a device moves between page tables and IOASes, and back",
  (mock) => {
    const here = mock.iommufd.allocateIoas();
    const there = mock.iommufd.allocateIoas();
    const memory = mock.memory(PAGE);
    const { address } = memory;
    there.unsafeMap({ address, size: PAGE }, { iova: APERTURE });
    const device = mock.device(here);
    assertEquals(device.attachedTo, here);
    const automatic = device.attach(there);
    assertEquals(device.attachedTo, there);
    here.destroy();
    const table = Hwpt.allocate(device, there);
    assert(table.id !== automatic);
    assert(mock.translates(table, APERTURE, memory));
    assertEquals(device.attach(table), table.id);
    // The automatic one went with its last device.
    const { iommufd } = mock;
    const argument = iommu_destroy.alloc({ id: automatic });
    assertThrows(
      () => iommufd.fd.ioctl(IOMMU_DESTROY, argument),
      KernelError,
      "ENOENT",
    );
    const low = iommufd.allocateIoas();
    low.unsafeMap({ address, size: PAGE }, { iova: 0n });
    failure("IOVA_OUT_OF_RANGE", () => device.attach(low));
    assertEquals(device.attachedTo, table);
    failure("IOVA_OUT_OF_RANGE", () => Hwpt.allocate(device, low));
  },
);

onMock(
  "IommufdDevice.hardwareInfo() tells what the IOMMU can do",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const device = mock.device(ioas, { pasids: true });
    const info = device.hardwareInfo();
    assertEquals(info.kind, 0xfeed_beef);
    assertEquals(
      new Uint32Array(info.data.buffer)[1]!.toString(16),
      "deadbeef",
    );
    assertEquals(info.data.length, 8);
    assertEquals([info.dirtyTracking, info.pasids], [true, 2 ** 20]);
    assertEquals(device.hardwareInfo(0xfeed_beef).kind, 0xfeed_beef);
    failure("NOT_SUPPORTED", () => device.hardwareInfo(1));
    assertEquals(mock.device(ioas).hardwareInfo().pasids, 0);
  },
);
