/**
 * Virtual IOMMUs: their devices, events, queues and registers.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  EventQueue,
  Hwpt,
  HwQueue,
  NestedHwpt,
  Vdevice,
  Viommu,
} from "../../../../backends/iommufd/mod.ts";
import { failure, refused } from "../../../failures.ts";
import { APERTURE, DATA, type Mock, PAGE, tableData, words } from "./mock.ts";
import { onMock } from "./test.ts";

/** A virtual IOMMU, and a device behind it that a guest knows as 0x99. */
function virtualized(mock: Mock) {
  const ioas = mock.iommufd.allocateIoas();
  const device = mock.device(ioas);
  const parent = Hwpt.allocate(device, ioas, { nestParent: true });
  const viommu = Viommu.allocate(device, parent, { type: DATA.other });
  const table = NestedHwpt.allocate(device, viommu, tableData(3));
  const vdevice = Vdevice.allocate(viommu, device, 0x99n);
  device.attach(table);
  return { ioas, device, parent, viommu, table, vdevice };
}

/** Makes the queue of a virtual IOMMU's events. */
const queueOf = (viommu: Viommu, depth: number) =>
  EventQueue.allocate(viommu, { type: DATA.event, eventSize: 4, depth });

onMock(
  "EventQueue gives events as they come, and tells that some were lost",
  async (mock) => {
    const { device, viommu } = virtualized(mock);
    const queue = queueOf(viommu, 3);
    const events = queue.events();
    const waiting = events.next();
    device.raiseEvent();
    const { value } = await waiting;
    assertEquals(value, { sequence: 0, data: words(0x99) });
    for (let i = 0; i < 5; i++) device.raiseEvent();
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push((await events.next()).value!);
    assertEquals(
      seen.map(({ sequence, data }) => [sequence, data !== undefined]),
      [[1, true], [2, true], [3, true], [5, false]],
    );
    assertEquals(queue.take(), undefined);
    device.raiseEvent();
    assertEquals(queue.take(), { sequence: 6, data: words(0x99) });
    const last = queue.next();
    queue.destroy();
    await refused("DETACHED", () => last);
    assertEquals(viommu.users.includes(queue.name), false);
  },
);

onMock(
  "EventQueue.allocate() makes one of a kind",
  (mock) => {
    const { viommu } = virtualized(mock);
    for (const depth of [0, 1.5, 2 ** 19 + 1]) {
      assertThrows(() => queueOf(viommu, depth), RangeError);
    }
    queueOf(viommu, 1);
    failure("IN_USE", () => queueOf(viommu, 1));
  },
);

onMock(
  "Viommu.invalidate() drops what the IOMMU has cached for a device of the guest",
  (mock) => {
    const { device, viommu } = virtualized(mock);
    const drop = (bytes: Uint8Array) =>
      viommu.invalidate({ type: DATA.other, bytes, entrySize: 12 });
    assert(device.caches(0, 0xba_ddad));
    drop(words(0, 0x99, 0, 0, 0x99, 2));
    assertEquals(
      [0, 1, 2, 3].map((index) => device.caches(index, 0)),
      [true, false, true, false],
    );
    drop(words(1, 0x99, 0));
    assert(device.caches(3, 0));
    // Not a device of the guest.
    failure("KERNEL", () => drop(words(0, 0x98, 0)));
    failure("KERNEL", () => drop(words(0, 0x99, 4)));
  },
);

onMock(
  "Vdevice.allocate() makes one for a device, and for an id of the guest",
  (mock) => {
    const { device, ioas, viommu, vdevice } = virtualized(mock);
    failure("IN_USE", () => Vdevice.allocate(viommu, device, 1n));
    const other = mock.device(ioas);
    failure("IN_USE", () => Vdevice.allocate(viommu, other, 0x99n));
    Vdevice.allocate(viommu, other, 0x9an);
    // It goes with its device, and so does not keep what it is behind.
    other.unplug();
    assertEquals(viommu.users.filter((name) => name.startsWith("virtual")), [
      vdevice.name,
    ]);
    Vdevice.allocate(viommu, mock.device(ioas), 0x9an);
  },
);

onMock(
  "HwQueue lies in the guest's memory, which stays mapped, and they go in reverse",
  (mock) => {
    const { ioas, viommu } = virtualized(mock);
    const { address } = mock.memory(2 * PAGE);
    ioas.unsafeMap({ address, size: PAGE }, { iova: APERTURE });
    const make = (index: number, iova = APERTURE, size = PAGE) =>
      HwQueue.allocate(viommu, { type: DATA.other, index, iova, size });
    failure("NOT_SUPPORTED", () => make(1));
    failure("IOVA_OUT_OF_RANGE", () => make(0, APERTURE * 2n));
    failure("NOT_SUPPORTED", () => make(0, APERTURE, 0));
    const first = make(0);
    const second = make(1);
    failure("IN_USE", () => make(0));
    failure("IN_USE", () => ioas.unmap(APERTURE, PAGE));
    const { message } = failure("IN_USE", () => first.destroy());
    assert(message.includes(second.name), message);
    second.destroy();
    first.destroy();
    assertEquals(ioas.unmap(APERTURE, PAGE), BigInt(PAGE));
  },
);

onMock(
  "Viommu.allocate() answers in its data, and has registers to map",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const device = mock.device(ioas);
    const parent = Hwpt.allocate(device, ioas, { nestParent: true });
    const bytes = words(0x1234, 0, 0, 0, 0, 0);
    const viommu = Viommu.allocate(device, parent, { type: DATA.other, bytes });
    const answer = new DataView(bytes.buffer);
    assertEquals(answer.getUint32(4, true), 0x1234);
    const offset = answer.getBigUint64(8, true);
    const length = answer.getBigUint64(16, true);
    {
      using registers = viommu.mapRegisters(offset, length);
      assertEquals(new Uint32Array(registers.buffer)[0], 0x1234);
      const { message } = failure("IN_USE", () => viommu.destroy());
      assert(message.includes("its mapped registers"), message);
    }
    failure(
      "IOVA_OUT_OF_RANGE",
      () => viommu.mapRegisters(offset + length, length),
    );
    viommu.destroy();
    failure("DETACHED", () => viommu.mapRegisters(offset, length));
    const plain = Hwpt.allocate(device, ioas);
    failure(
      "NOT_SUPPORTED",
      () => Viommu.allocate(device, plain, { type: DATA.other }),
    );
    for (const type of [0, 1, 2]) {
      failure("NOT_SUPPORTED", () => Viommu.allocate(device, parent, { type }));
    }
  },
);
