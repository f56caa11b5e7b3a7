import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { failure } from "../../failures.ts";
import { READ, setUp, START } from "./region_bench.ts";

Deno.test("Region() has the kernel's info", () => {
  const { region } = setUp();
  const { index, size, readable, writable, mappable } = region;
  assertEquals({ index, size, readable, writable, mappable }, {
    index: 3,
    size: 65536,
    readable: true,
    writable: true,
    mappable: [{ offset: 0, size: 65536 }],
  });
  const rom = setUp({ flags: READ }).region;
  assertEquals([rom.readable, rom.writable, rom.mappable], [true, false, []]);
});

Deno.test("Region() has only the areas that can be mapped when the kernel restricts them", () => {
  const sparse = [{ offset: 0, size: 4096 }, { offset: 8192, size: 57344 }];
  assertEquals(setUp({ sparse }).region.mappable, sparse);
  assertEquals(setUp({ sparse: [] }).region.mappable, []);
});

Deno.test("Region() throws when its list of areas is cut short", () => {
  const sparse = [{ offset: 0, size: 4096 }];
  for (const count of [2, 0xffff_ffff]) {
    assertThrows(() => setUp({ sparse, count }), RangeError);
  }
});

Deno.test("Region reads and writes each width in one access, little-endian", () => {
  const { region, accesses } = setUp();
  assertEquals(region.read8(3), 0x03);
  assertEquals(region.read16(4), 0x0504);
  assertEquals(region.read32(0xf0), 0xf3f2_f1f0);
  assertEquals(region.read64(0xf0), 0xf7f6_f5f4_f3f2_f1f0n);
  region.write8(1, 0xab);
  region.write16(2, 0xabcd);
  region.write32(4, 0x89ab_cdef);
  region.write64(65528, 0x0123_4567_89ab_cdefn);
  assertEquals(region.read64(0), 0x89ab_cdef_abcd_ab00n);
  assertEquals(region.read64(65528), 0x0123_4567_89ab_cdefn);
  assertEquals(accesses, [
    "7: read 1 at 3",
    "7: read 2 at 4",
    "7: read 4 at 240",
    "7: read 8 at 240",
    "7: write 1 at 1",
    "7: write 2 at 2",
    "7: write 4 at 4",
    "7: write 8 at 65528",
    "7: read 8 at 0",
    "7: read 8 at 65528",
  ]);
});

for (const width of [8, 16, 32, 64] as const) {
  Deno.test(`Region.read${width}() and write${width}() throw a RangeError when the offset is wrong`, () => {
    const { region, accesses } = setUp();
    const bytes = width / 8;
    for (
      const offset of [
        65536,
        -bytes,
        0.5,
        NaN,
        Infinity,
        -Infinity,
        2 ** 32,
        2 ** 53,
        ...(width > 8 ? [1, 65535, 65536 - bytes + 1] : []),
      ]
    ) {
      const message = `Cannot access ${bytes} bytes at offset ${offset}: `;
      const read = `read${width}` as const;
      assertThrows(() => region[read](offset), RangeError, message);
      const write = () =>
        width === 64
          ? region.write64(offset, 0n)
          : region[`write${width}`](offset, 0);
      assertThrows(write, RangeError, message);
    }
    assertEquals(accesses, []);
  });
}

for (const width of [8, 16, 32] as const) {
  Deno.test(`Region.write${width}() throws a RangeError when the value does not fit`, () => {
    const { region, accesses } = setUp();
    const write = `write${width}` as const;
    for (const value of [-1, 2 ** width, 2 ** 53, 0.5, NaN, Infinity]) {
      assertThrows(() => region[write](0, value), RangeError, `${value}`);
    }
    assertEquals(accesses, []);
  });
}

Deno.test("Region.write64() throws a RangeError when the value does not fit", () => {
  const { region, accesses } = setUp();
  for (const value of [-1n, 1n << 64n]) {
    assertThrows(() => region.write64(0, value), RangeError, `${value}`);
  }
  assertEquals(accesses, []);
});

Deno.test("Region reaches registers beyond 4 GiB", () => {
  const seen: bigint[] = [];
  const { region } = setUp({
    size: 2 ** 36,
    kernel: { pread: (_fd, into, at) => (seen.push(at - START), into.length) },
  });
  assertEquals(region.size, 2 ** 36);
  region.read32(2 ** 32);
  region.read64(2 ** 36 - 8);
  region.read(2 ** 35 + 1, new Uint8Array(3));
  assertThrows(() => region.read8(2 ** 36), RangeError);
  assertEquals(seen, [2n ** 32n, 2n ** 36n - 8n, 2n ** 35n + 1n]);
});

Deno.test("Region.read() and write() accept any bytes inside the region", () => {
  const { region, memory, accesses } = setUp();
  const into = new Uint8Array(8).subarray(1, 6);
  region.read(3, into);
  assertEquals(into, Uint8Array.of(3, 4, 5, 6, 7));
  region.write(65533, Uint8Array.of(1, 2, 3));
  assertEquals(memory.subarray(65532), Uint8Array.of(0xfc, 1, 2, 3));
  region.read(0, new Uint8Array(65536));
  assertEquals(accesses, [
    "7: read 5 at 3",
    "7: write 3 at 65533",
    "7: read 65536 at 0",
  ]);
});

Deno.test("Region.read() and write() throw a RangeError when the range is outside", () => {
  const { region, accesses } = setUp();
  for (
    const [offset, length] of [
      [65536, 1],
      [65535, 2],
      [65537, 0],
      [-1, 1],
      [0, 65537],
      [0.5, 1],
      [NaN, 1],
      [Infinity, 0],
      [2 ** 53, 1],
    ] as const
  ) {
    const bytes = new Uint8Array(length);
    const message = `Cannot access ${length} bytes at offset ${offset}: ` +
      "expected them inside 65536 bytes";
    assertThrows(() => region.read(offset, bytes), RangeError, message);
    assertThrows(() => region.write(offset, bytes), RangeError, message);
  }
  assertEquals(accesses, []);
});

Deno.test("Region throws a RangeError at every access when the region does not exist", () => {
  const { region, accesses } = setUp({ size: 0, flags: 0 });
  assertEquals([region.size, region.mappable], [0, []]);
  assertThrows(() => region.read8(0), RangeError);
  assertThrows(() => region.write(0, new Uint8Array(1)), RangeError);
  assertEquals(accesses, []);
});

Deno.test("Region throws KERNEL when the kernel reads or writes too little", () => {
  const { region } = setUp({ kernel: { pread: () => 2, pwrite: () => 0 } });
  const read = failure("KERNEL", () => region.read32(8));
  assertEquals(
    read.message,
    "vfio gpu: cannot read region 3: only 2 of 4 bytes at offset 8 were transferred",
  );
  const write = failure("KERNEL", () => region.write64(8, 0n));
  assertEquals(
    write.message,
    "vfio gpu: cannot write region 3: only 0 of 8 bytes at offset 8 were transferred",
  );
  failure("KERNEL", () => region.read(0, new Uint8Array(3)));
});

Deno.test("Region throws KERNEL when the kernel refuses the access", () => {
  const cause = new KernelError(errnoNumber("EIO"), "pread");
  const { region } = setUp({
    kernel: {
      pread() {
        throw cause;
      },
    },
  });
  const error = failure("KERNEL", () => region.read32(8));
  assertStrictEquals(error.cause, cause);
  assert(
    error.message.startsWith("vfio gpu: cannot read region 3: pread: EIO"),
  );
});

Deno.test("Region throws DETACHED when the device is detached", () => {
  const { region, detach } = setUp();
  detach();
  failure("DETACHED", () => region.read32(0));
  failure("DETACHED", () => region.write32(0, 0));
  failure("DETACHED", () => region.read(0, new Uint8Array(1)));
  failure("DETACHED", () => region.map());
});
