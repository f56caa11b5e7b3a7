/**
 * PASIDs: parts of a device that see page tables of their own.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Hwpt } from "../../../../backends/iommufd/mod.ts";
import { failure } from "../../../failures.ts";
import { APERTURE, type Mock, PAGE } from "./mock.ts";
import { onMock } from "./test.ts";

/** A device with PASIDs, on a page table that takes them. */
function withPasids(mock: Mock) {
  const ioas = mock.iommufd.allocateIoas();
  const device = mock.device(ioas, { pasids: true });
  const table = Hwpt.allocate(device, ioas, { pasid: true });
  device.attach(table);
  return { ioas, device, table };
}

onMock(
  "two PASIDs of a device see different memory",
  (mock) => {
    const { device, table } = withPasids(mock);
    const [red, blue] = [1, 2].map(() => {
      const ioas = mock.iommufd.allocateIoas();
      const memory = mock.memory(PAGE);
      const { address } = memory;
      ioas.unsafeMap({ address, size: PAGE }, { iova: APERTURE });
      return { memory, table: Hwpt.allocate(device, ioas, { pasid: true }) };
    });
    device.attachPasid(1, red!.table);
    device.attachPasid(2, blue!.table);
    assert(device.usesFor(1, red!.table));
    assert(device.usesFor(2, blue!.table));
    assert(!device.usesFor(2, red!.table));
    assert(mock.translates(red!.table, APERTURE, red!.memory));
    assert(mock.translates(blue!.table, APERTURE, blue!.memory));
    assert(!mock.translates(blue!.table, APERTURE, red!.memory));
    assertEquals([...device.pasids], [[1, red!.table], [2, blue!.table]]);
    // In place of what it was attached to.
    device.attachPasid(1, blue!.table);
    assert(device.usesFor(1, blue!.table));
    assertEquals(red!.table.users, []);
    device.detachPasid(2);
    assert(device.usesFor(2, undefined));
    assertEquals(blue!.table.users, [device.name]);
    device.detachPasid(2);
    device.detachPasid(1);
    assertEquals(blue!.table.users, []);
    assertEquals(device.attachedTo, table);
  },
);

onMock(
  "IommufdDevice.attachPasid() refuses PASIDs that there are not, and other page tables",
  (mock) => {
    const { device, ioas, table } = withPasids(mock);
    for (const pasid of [0, -1, 1.5, 2 ** 20]) {
      assertThrows(() => device.attachPasid(pasid, table), RangeError);
    }
    const plain = Hwpt.allocate(device, ioas);
    failure("NOT_SUPPORTED", () => device.attachPasid(1, plain));
    failure("NOT_SUPPORTED", () => device.attachPasid(1, ioas));
    device.attachPasid(1, table);
    // The device itself stays where PASIDs can be.
    failure("NOT_SUPPORTED", () => device.attach(plain));
    device.detachPasid(1);
    device.attach(plain);
    failure("NOT_SUPPORTED", () => device.attachPasid(1, table));
    // The kernel would say yes, and do nothing.
    const without = mock.device(ioas);
    without.attach(Hwpt.allocate(without, ioas, { pasid: true }));
    failure("NOT_SUPPORTED", () => without.attachPasid(1, table));
    assertEquals(without.pasids.size, 0);
  },
);

onMock(
  "a PASID stays with its page table where another cannot be set",
  (mock) => {
    const { device, ioas, table } = withPasids(mock);
    const other = Hwpt.allocate(device, ioas, { pasid: true });
    // The mock fails the second time that this one is set.
    device.attachPasid(1024, table);
    failure("NO_MEMORY", () => device.attachPasid(1024, other));
    assert(device.usesFor(1024, table));
    assertEquals(device.pasids.get(1024), table);
    assertEquals(other.users, []);
    device.attachPasid(1024, other);
    assert(device.usesFor(1024, other));
  },
);
