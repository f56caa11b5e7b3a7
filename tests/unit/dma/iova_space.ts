import { assert, assertEquals, assertThrows } from "@std/assert";
import type { IommuLimits } from "../../../backends/backend.ts";
import { IovaSpace, pageOf } from "../../../lib/dma/iova_space.ts";
import type { MapOptions } from "../../../lib/dma/mapping.ts";
import { hex } from "../../../lib/hex.ts";
import { VfioError } from "../../../lib/errors.ts";
import { failure } from "../../failures.ts";
import { randomNumbers } from "../random.ts";

const PAGE = 4096;
const GiB = 2 ** 30;

/** An IOMMU of 39 bits with x86-64's window for interrupts. */
const LIMITS: IommuLimits = {
  ranges: [
    { start: 0n, last: 0xfedf_ffffn },
    { start: 0xfef0_0000n, last: (1n << 39n) - 1n },
  ],
  alignment: 4096n,
  mappingsAvailable: undefined,
};

/** An `IovaSpace` whose IOVAs are bytes. */
class ByteSpace extends IovaSpace {
  placeAt(size: number, options: MapOptions): bigint {
    return BigInt(this.place(size, options)) * 4096n;
  }

  releaseAt(iova: bigint): void {
    this.release(pageOf(iova));
  }
}

Deno.test("IovaSpace.place() places at the IOVA when one is given", () => {
  const space = new ByteSpace(LIMITS);
  assertEquals(space.placeAt(PAGE, { iova: 0n }), 0n);
  assertEquals(space.placeAt(PAGE, { iova: 0x1000n }), 0x1000n);
  assertEquals(space.placeAt(2 * PAGE, { iova: 0xfedf_e000n }), 0xfedf_e000n);
  assertEquals(space.placeAt(PAGE, { iova: 0x7f_ffff_f000n }), 0x7f_ffff_f000n);
});

Deno.test("IovaSpace.place() chooses IOVAs that do not overlap", () => {
  const space = new ByteSpace(LIMITS);
  const random = randomNumbers(1);
  const placed: { start: bigint; end: bigint }[] = [];
  for (let i = 0; i < 500; i++) {
    const size = (1 + random(700)) * PAGE;
    const start = space.placeAt(size, {});
    placed.push({ start, end: start + BigInt(size) });
  }
  placed.sort((a, b) => a.start < b.start ? -1 : 1);
  for (const [i, { start, end }] of placed.entries()) {
    assert(start >= 0x1_0000n);
    assert(end <= (placed[i + 1]?.start ?? 1n << 39n));
    assert(LIMITS.ranges.some((r) => r.start <= start && end - 1n <= r.last));
  }
});

Deno.test("IovaSpace.place() aligns to the largest page that the size fills", () => {
  const space = new ByteSpace(LIMITS);
  const cases: [size: number, alignment: bigint][] = [
    [PAGE, 0x1000n],
    [3 * PAGE, 0x2000n],
    [2 ** 21, 0x20_0000n],
    [2 ** 22 - PAGE, 0x20_0000n],
    [GiB, 0x4000_0000n],
    [5 * GiB, 0x4000_0000n],
  ];
  for (const [size, alignment] of cases) {
    space.placeAt(PAGE, {});
    assertEquals(space.placeAt(size, {}) % alignment, 0n, `${size}`);
  }
});

Deno.test("IovaSpace.place() stays within the DMA mask", () => {
  const space = new ByteSpace(LIMITS);
  const dmaMask = 0xff_ffffn;
  let bytes = 0;
  for (;;) {
    try {
      const iova = space.placeAt(PAGE, { dmaMask });
      assert(iova + BigInt(PAGE) - 1n <= dmaMask, hex(iova));
      bytes += PAGE;
    } catch (error) {
      assert(error instanceof VfioError);
      assertEquals(error.code, "IOVA_EXHAUSTED");
      assertEquals(
        error.message,
        "vfio: no 4096 bytes of IOVA are free within 0xffffff\n" +
          "hint: unmap what is not needed; space.limits().ranges lists the " +
          "ranges",
      );
      break;
    }
  }
  assertEquals(bytes, 0x100_0000 - 0x1_0000);
  assert(space.placeAt(PAGE, {}) > dmaMask);
});

Deno.test("IovaSpace.place() throws IOVA_EXHAUSTED when no range is long enough", () => {
  const space = new ByteSpace(LIMITS);
  failure("IOVA_EXHAUSTED", () => space.placeAt(2 ** 39, {}));
  failure("IOVA_EXHAUSTED", () => space.placeAt(PAGE, { dmaMask: 0xfffn }));
  failure("IOVA_EXHAUSTED", () => space.placeAt(PAGE, { dmaMask: 1n }));
  assertEquals(space.placeAt(2 ** 38, {}), 0x1_0000_0000n);
});

Deno.test("IovaSpace.place() accepts every mask of 1 to 64 bits", () => {
  const space = new ByteSpace(LIMITS);
  for (let bits = 17n; bits <= 64n; bits++) {
    const dmaMask = (1n << bits) - 1n;
    const iova = space.placeAt(PAGE, { dmaMask });
    assert(iova <= dmaMask);
    space.releaseAt(iova);
  }
});

for (
  const dmaMask of [0n, -1n, 1n << 64n, 0xffff_0000n, 0x1_0000_0000n, 5n]
) {
  Deno.test(`IovaSpace.place() throws a RangeError when the DMA mask is ${hex(dmaMask)}`, () => {
    const space = new ByteSpace(LIMITS);
    assertThrows(
      () => space.placeAt(PAGE, { dmaMask }),
      RangeError,
      `Cannot map within DMA mask ${hex(dmaMask)}: expected `,
    );
  });
}

for (const iova of [1n, 0xfffn, 0x1_0800n, -1n, -4096n]) {
  Deno.test(`IovaSpace.place() throws a RangeError when the IOVA is ${iova}`, () => {
    const space = new ByteSpace(LIMITS);
    assertThrows(
      () => space.placeAt(PAGE, { iova }),
      RangeError,
      `Cannot map at IOVA ${hex(iova)}: expected a multiple of 4096`,
    );
  });
}

for (
  const [iova, size] of [
    [0xfee0_0000n, PAGE],
    [0xfedf_f000n, 2 * PAGE],
    [0xfed0_0000n, 2 ** 22],
    [0xfeef_f000n, PAGE],
    [(1n << 39n) - 4096n, 2 * PAGE],
    [1n << 39n, PAGE],
    [(1n << 64n) - 4096n, PAGE],
    [(1n << 64n) - 4096n, 2 * PAGE],
    [1n << 64n, PAGE],
    [1n << 80n, PAGE],
  ] as const
) {
  Deno.test(`IovaSpace.place() throws IOVA_OUT_OF_RANGE when the range is ${size} bytes at ${hex(iova)}`, () => {
    const space = new ByteSpace(LIMITS);
    const error = failure(
      "IOVA_OUT_OF_RANGE",
      () => space.placeAt(size, { iova }),
    );
    assertEquals(
      error.message,
      `vfio: the IOMMU cannot translate ${size} bytes at IOVA ${hex(iova)}\n` +
        "hint: it can translate 0x0-0xfedfffff, 0xfef00000-0x7fffffffff",
    );
  });
}

Deno.test("IovaSpace.place() throws IOVA_OVERLAP when a part is taken", () => {
  const space = new ByteSpace(LIMITS);
  space.placeAt(4 * PAGE, { iova: 0x10_0000n });
  for (
    const [iova, pages] of [
      [0x10_0000n, 4],
      [0x10_1000n, 1],
      [0x10_3000n, 8],
      [0xf_f000n, 2],
      [0xf_0000n, 64],
    ] as const
  ) {
    const error = failure(
      "IOVA_OVERLAP",
      () => space.placeAt(pages * PAGE, { iova }),
    );
    assertEquals(
      error.message,
      `vfio: ${pages * PAGE} bytes at IOVA ${hex(iova)} overlap a mapping at ` +
        "0x100000\nhint: unmap that one first, or leave the IOVA to the space",
    );
  }
  assertEquals(space.placeAt(PAGE, { iova: 0xf_f000n }), 0xf_f000n);
  assertEquals(space.placeAt(PAGE, { iova: 0x10_4000n }), 0x10_4000n);
});

Deno.test("IovaSpace.release() frees a range for another placement", () => {
  const space = new ByteSpace(LIMITS);
  for (let i = 0; i < 3; i++) {
    const iova = space.placeAt(4 * PAGE, { iova: 0x10_0000n });
    failure("IOVA_OVERLAP", () => space.placeAt(PAGE, { iova }));
    space.releaseAt(iova);
  }
});

Deno.test("IovaSpace leaves out partial pages at the ends of a range", () => {
  const ranges = [{ start: 0x1_0001n, last: 0x1_3ffen }];
  const space = new ByteSpace({ ...LIMITS, ranges });
  failure("IOVA_OUT_OF_RANGE", () => space.placeAt(PAGE, { iova: 0x1_0000n }));
  failure("IOVA_OUT_OF_RANGE", () => space.placeAt(PAGE, { iova: 0x1_3000n }));
  const placed = [space.placeAt(PAGE, {}), space.placeAt(PAGE, {})];
  assertEquals(placed, [0x1_1000n, 0x1_2000n]);
  failure("IOVA_EXHAUSTED", () => space.placeAt(PAGE, {}));
});

Deno.test("IovaSpace reaches the last byte of 64 bits", () => {
  const ranges = [{ start: 0n, last: (1n << 64n) - 1n }];
  const space = new ByteSpace({ ...LIMITS, ranges });
  const iova = (1n << 64n) - 4096n;
  assertEquals(space.placeAt(PAGE, { iova }), iova);
  failure("IOVA_OVERLAP", () => space.placeAt(PAGE, { iova }));
  failure(
    "IOVA_OUT_OF_RANGE",
    () => space.placeAt(2 * PAGE, { iova: iova - 4096n + 8192n }),
  );
});

Deno.test("IovaSpace.place() throws when the IOVA lacks the IOMMU's alignment", () => {
  const space = new ByteSpace({ ...LIMITS, alignment: 65536n });
  const size = 65536;
  const message = "expected a multiple of 65536";
  assertThrows(
    () => space.placeAt(size, { iova: 0x1000n }),
    RangeError,
    message,
  );
  assertThrows(() => space.placeAt(PAGE, {}), RangeError, message);
  assertThrows(() => space.placeAt(size + PAGE, {}), RangeError, message);
  for (let i = 0; i < 5; i++) {
    assertEquals(space.placeAt(3 * size, {}) % 65536n, 0n);
  }
});

Deno.test("IovaSpace uses the new limits, and keeps what is taken, when they have changed", () => {
  const space = new ByteSpace(LIMITS);
  space.placeAt(PAGE, { iova: 0x8000_0000n });
  const ranges = [{ start: 0x8000_0000n, last: 0x8000_1fffn }];
  space.limits = { ...LIMITS, ranges };
  failure("IOVA_OVERLAP", () => space.placeAt(PAGE, { iova: 0x8000_0000n }));
  failure("IOVA_OUT_OF_RANGE", () => space.placeAt(PAGE, { iova: 0x1_0000n }));
  assertEquals(space.placeAt(PAGE, {}), 0x8000_1000n);
  failure("IOVA_EXHAUSTED", () => space.placeAt(PAGE, {}));
});

Deno.test("IovaSpace.place() gives names, and refuses an IOVA, when there is no IOMMU", () => {
  const space = new ByteSpace({ ...LIMITS, ranges: [] });
  const names = [0xfffn, undefined].map((dmaMask) =>
    space.placeAt(PAGE, { ...dmaMask !== undefined && { dmaMask } })
  );
  assert(names[0] !== names[1]);
  const error = failure(
    "IOVA_OUT_OF_RANGE",
    () => space.placeAt(PAGE, { iova: 0x1_0000n }),
  );
  assertEquals(
    error.hint,
    "without an IOMMU nothing can be mapped at an IOVA: leave it out",
  );
});
