/**
 * Page tables of a guest, nested in one of the host: allocated, invalidated.
 */
import { assert, assertEquals } from "@std/assert";
import {
  Hwpt,
  InvalidationError,
  NestedHwpt,
} from "../../../../backends/iommufd/mod.ts";
import { failure } from "../../../failures.ts";
import { DATA, type Mock, tableData, words } from "./mock.ts";
import { onMock } from "./test.ts";

/** What drops one entry, or all. */
const drop = (...entries: (number | "all")[]) => ({
  type: DATA.other,
  bytes: words(
    ...entries.flatMap((entry) => entry === "all" ? [1, 0] : [0, entry]),
  ),
  entrySize: 8,
});

/** A device, and a page table that others can be nested in. */
function nesting(mock: Mock) {
  const ioas = mock.iommufd.allocateIoas();
  const device = mock.device(ioas);
  const parent = Hwpt.allocate(device, ioas, { nestParent: true });
  return { ioas, device, parent };
}

onMock(
  "NestedHwpt.invalidate() drops what the IOMMU has cached",
  (mock) => {
    const { device, parent } = nesting(mock);
    const table = NestedHwpt.allocate(device, parent, tableData(0xcafe));
    device.attach(table);
    const cached = () =>
      [0, 1, 2, 3].map((index) => mock.caches(table, index, 0xcafe));
    assertEquals(cached(), [true, true, true, true]);
    table.invalidate(drop(1, 3));
    assertEquals(cached(), [true, false, true, false]);
    assert(mock.caches(table, 1, 0));
    table.invalidate(drop("all"));
    assertEquals(cached(), [false, false, false, false]);
    // None, which asks whether the kind is known.
    table.invalidate(drop());
  },
);

onMock(
  "NestedHwpt.invalidate() says how many were carried out",
  (mock) => {
    const { device, parent } = nesting(mock);
    const table = NestedHwpt.allocate(device, parent, tableData(7));
    const done = (requests: Parameters<typeof table.invalidate>[0]) => {
      const error = failure("KERNEL", () => table.invalidate(requests));
      assert(error instanceof InvalidationError);
      return error.done;
    };
    assertEquals(done(drop(0, 2, 4, 1)), 2);
    assertEquals(
      [0, 1, 2, 3].map((index) => mock.caches(table, index, 7)),
      [false, true, false, true],
    );
    assertEquals(done(drop(4)), 0);
    assertEquals(done({ ...drop(1), type: 0xdad_beef }), 0);
    assertEquals(done({ ...drop(1), entrySize: 4 }), 0);
  },
);

onMock(
  "NestedHwpt.allocate() refuses what it cannot be nested in, and other data",
  (mock) => {
    const { device, ioas, parent } = nesting(mock);
    const plain = Hwpt.allocate(device, ioas);
    failure(
      "NOT_SUPPORTED",
      () => NestedHwpt.allocate(device, plain, tableData(1)),
    );
    failure(
      "NOT_SUPPORTED",
      () => NestedHwpt.allocate(device, parent, { type: 1, bytes: words(1) }),
    );
    failure(
      "NOT_SUPPORTED",
      () => NestedHwpt.allocate(device, parent, { type: DATA.table }),
    );
  },
);
