import { assert, assertEquals, assertThrows } from "@std/assert";
import { MappedRegisters } from "../../../lib/device/regions/mapped_registers.ts";
import { VfioError } from "../../../lib/errors.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";

const SIZE = 4096;

/** Registers in ordinary memory, each byte of which is its offset. */
function setUp(length = SIZE, unmap?: () => void) {
  const buffer = new ArrayBuffer(length);
  const bytes = new Uint8Array(buffer);
  for (let i = 0; i < length; i++) bytes[i] = i;
  const mapping = { address: 0n, length, buffer };
  const detach = () => void buffer.transfer(0);
  const registers = new MappedRegisters("gpu", mapping, unmap ?? detach);
  return { registers, bytes };
}

type Access = (
  registers: MappedRegisters,
  offset: number,
) => number | bigint | void;

const READS: readonly (readonly [width: number, read: Access])[] = [
  [1, (registers, offset) => registers.read8(offset)],
  [2, (registers, offset) => registers.read16(offset)],
  [4, (registers, offset) => registers.read32(offset)],
  [8, (registers, offset) => registers.read64(offset)],
];

const WRITES: readonly (readonly [width: number, write: Access])[] = [
  [1, (registers, offset) => registers.write8(offset, 0xa5)],
  [2, (registers, offset) => registers.write16(offset, 0xa5a5)],
  [4, (registers, offset) => registers.write32(offset, 0xa5a5_a5a5)],
  [8, (registers, offset) => registers.write64(offset, 0xa5a5_a5a5_a5a5_a5a5n)],
];

const ACCESSES = [
  ...READS.map(([width, access]) => [`read${8 * width}()`, width, access]),
  ...WRITES.map(([width, access]) => [`write${8 * width}()`, width, access]),
] as unknown as [name: string, width: number, access: Access][];

Deno.test("MappedRegisters reads little-endian values of each width", () => {
  const { registers } = setUp();
  assertEquals(registers.read8(3), 0x03);
  assertEquals(registers.read16(4), 0x0504);
  assertEquals(registers.read32(0xf0), 0xf3f2_f1f0);
  assertEquals(registers.read64(0xf0), 0xf7f6_f5f4_f3f2_f1f0n);
  assertEquals(registers.size, SIZE);
});

Deno.test("MappedRegisters writes little-endian values of each width, and nothing beside them", () => {
  const { registers, bytes } = setUp();
  bytes.fill(0xee);
  registers.write8(1, 0x01);
  registers.write16(2, 0x0302);
  registers.write32(4, 0x0706_0504);
  registers.write64(8, 0x0f0e_0d0c_0b0a_0908n);
  assertEquals(
    bytes.subarray(0, 18),
    Uint8Array.of(
      0xee,
      ...Array.from({ length: 15 }, (_, i) => i + 1),
      0xee,
      0xee,
    ),
  );
});

for (const [name, width, access] of ACCESSES) {
  Deno.test(`MappedRegisters.${name} reaches the first and the last register`, () => {
    const { registers, bytes } = setUp();
    for (const offset of [0, -0, SIZE - width]) {
      const value = access(registers, offset);
      const expected = bytes[Math.abs(offset)];
      if (value === undefined) assertEquals(expected, 0xa5);
      else assertEquals(Number(BigInt(value) & 0xffn), expected);
    }
  });

  Deno.test(`MappedRegisters.${name} throws a RangeError when the offset is outside`, () => {
    const { registers, bytes } = setUp();
    const before = bytes.slice();
    for (
      const offset of [
        SIZE,
        SIZE + width,
        -width,
        -SIZE,
        // None of these may wrap around to an existing register.
        2 ** 31,
        2 ** 32,
        2 ** 32 + 8,
        -(2 ** 32),
        8 * 2 ** 32,
        2 ** 53,
        -(2 ** 53),
        1e300,
        Infinity,
        -Infinity,
        NaN,
      ]
    ) {
      assertThrows(
        () => access(registers, offset),
        RangeError,
        `Cannot access ${width} bytes at offset ${offset}: expected a ` +
          `multiple of ${width} inside ${SIZE} bytes`,
      );
    }
    assertEquals(bytes, before);
  });

  Deno.test(`MappedRegisters.${name} throws a RangeError when the offset is not aligned`, () => {
    const { registers, bytes } = setUp();
    const before = bytes.slice();
    const offsets = [0.5, 8.25, SIZE - 0.5, 5e-324];
    for (let offset = 1; offset < width; offset++) {
      offsets.push(offset, 16 + offset, SIZE - offset);
    }
    for (const offset of offsets) {
      assertThrows(() => access(registers, offset), RangeError, `${offset}`);
    }
    assertEquals(bytes, before);
  });

  Deno.test(`MappedRegisters.${name} throws DETACHED when the registers were unmapped`, () => {
    const { registers } = setUp();
    registers.unmap();
    for (const offset of [0, SIZE, -1, NaN]) {
      const error = assertThrows(() => access(registers, offset), VfioError);
      assertEquals([error.code, error.device], ["DETACHED", "gpu"]);
    }
  });
}

for (
  const [width, write, most] of [
    [8, "write8", 0xff],
    [16, "write16", 0xffff],
    [32, "write32", 0xffff_ffff],
  ] as const
) {
  Deno.test(`MappedRegisters.${write}() accepts exactly the values of ${width} bits`, () => {
    const { registers, bytes } = setUp();
    const read = `read${width}` as const;
    for (const value of [0, 1, 2 ** (width - 1), most - 1, most]) {
      registers[write](8, value);
      assertEquals(registers[read](8), value);
    }
    const before = bytes.slice();
    for (
      const value of [
        -1,
        most + 1,
        2 ** 32,
        2 ** 53,
        0.5,
        NaN,
        Infinity,
        -Infinity,
      ]
    ) {
      assertThrows(
        () => registers[write](8, value),
        RangeError,
        `Cannot write ${value}: expected a whole number of ${width} bits`,
      );
    }
    assertEquals(bytes, before);
  });
}

Deno.test("MappedRegisters.write64() accepts exactly the values of 64 bits", () => {
  const { registers, bytes } = setUp();
  const most = (1n << 64n) - 1n;
  for (const value of [0n, 1n, 1n << 63n, most]) {
    registers.write64(8, value);
    assertEquals(registers.read64(8), value);
  }
  const before = bytes.slice();
  for (const value of [-1n, most + 1n, 1n << 100n]) {
    assertThrows(
      () => registers.write64(8, value),
      RangeError,
      `Cannot write ${value}: expected 64 bits`,
    );
  }
  const number = 5 as unknown as bigint;
  assertThrows(() => registers.write64(8, number), TypeError);
  assertEquals(bytes, before);
});

Deno.test("MappedRegisters reads memory each time", () => {
  const { registers, bytes } = setUp();
  assertEquals(registers.read32(0), 0x0302_0100);
  bytes[0] = 0xff;
  assertEquals(registers.read32(0), 0x0302_01ff);
});

Deno.test("MappedRegisters.unsafeAddress is where they are, until they are unmapped", () => {
  const { registers } = setUp();
  assertEquals(registers.unsafeAddress, 0n);
  registers.unmap();
  assertEquals(
    assertThrows(() => registers.unsafeAddress, VfioError).code,
    "DETACHED",
  );
});

Deno.test("MappedRegisters.unmap() unmaps only once", () => {
  let unmapped = 0;
  const { registers } = setUp(SIZE, () => unmapped++);
  registers.unmap();
  registers.unmap();
  registers[Symbol.dispose]();
  assertEquals([unmapped, registers.size], [1, 0]);
});

Deno.test("MappedRegisters is unmapped at the end of a using block", () => {
  let unmapped = 0;
  {
    using _registers = setUp(SIZE, () => unmapped++).registers;
  }
  assertEquals(unmapped, 1);
});

Deno.test("MappedRegisters.unmap() prevents accesses, and can be repeated, when it fails", () => {
  let failures = 2;
  const { registers } = setUp(SIZE, () => {
    if (failures-- > 0) throw new KernelError(errnoNumber("ENOMEM"), "munmap");
  });
  for (let i = 0; i < 2; i++) {
    const error = assertThrows(() => registers.unmap(), VfioError);
    assertEquals([error.code, error.device], ["KERNEL", "gpu"]);
    assert(error.message.startsWith("vfio gpu: cannot unmap registers: "));
    const access = assertThrows(() => registers.read32(0), VfioError);
    assertEquals(access.code, "DETACHED");
    assertEquals(registers.size, 0);
  }
  registers.unmap();
  registers.unmap();
  assertEquals(failures, -1);
});

for (const length of [1, 2, 3, 7, 12, 260]) {
  Deno.test(`MappedRegisters covers all of an area when it has ${length} bytes`, () => {
    const { registers } = setUp(length);
    assertEquals(registers.size, length);
    assertEquals(registers.read8(length - 1), (length - 1) & 0xff);
    for (const [width, read] of READS) {
      const last = Math.floor(length / width) * width - width;
      if (last >= 0) read(registers, last);
      assertThrows(() => read(registers, last + width), RangeError);
    }
  });
}
