import { assertEquals, assertThrows } from "@std/assert";
import {
  acquire,
  Doorbell,
  fence,
  publish,
  Ring,
  u16,
  u32,
  u64,
  u8,
} from "../../../lib/rings/mod.ts";
import type { Registers } from "../../../lib/device/regions/registers.ts";
import { failure } from "../../failures.ts";
import { FakeVfio } from "../fake_vfio.ts";

const SHAPE = {
  size: 16,
  fields: { kind: u8(1), length: u16(2), flags: u32(4), address: u64(8) },
} as const;

async function memoryOf(bytes: number) {
  const vfio = new FakeVfio();
  const { space } = await vfio.attach();
  return space.allocate(bytes);
}

Deno.test("Ring has each field where it lies, little-endian", async () => {
  const memory = await memoryOf(4096);
  const ring = new Ring(memory.slice(256, 64), SHAPE);
  assertEquals([ring.entries, ring.iova], [4, memory.iova + 256n]);
  const { kind, length, flags, address } = ring.fields;
  kind.set(2, 0xab);
  length.set(2, 0x1234);
  flags.set(2, 0x89ab_cdef);
  address.set(2, 0x1f_0123_4567_89ab);
  assertEquals(
    memory.bytes.slice(256 + 32, 256 + 48).toHex(),
    "00ab3412efcdab89ab89674523011f00",
  );
  assertEquals(
    [kind, length, flags, address].map((field) => field.get(2)),
    [0xab, 0x1234, 0x89ab_cdef, 0x1f_0123_4567_89ab],
  );
  assertEquals(ring.words[2 * 4 + 1], 0x89ab_cdef | 0);
  assertEquals(kind.get(1) + kind.get(3), 0);
  ring.clear();
  assertEquals(memory.bytes.every((byte) => byte === 0), true);
});

Deno.test("Field.set() of 64 bits stores any number below 2^53", async () => {
  const ring = new Ring(await memoryOf(4096), SHAPE);
  const { address } = ring.fields;
  for (
    const value of [
      0,
      1,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 48 - 4096,
      2 ** 53 - 1,
    ]
  ) {
    address.set(0, value);
    assertEquals(address.get(0), value);
  }
});

Deno.test("Ring throws a RangeError outside of its structs", async () => {
  const memory = await memoryOf(4096);
  const ring = new Ring(memory, { ...SHAPE, entries: 4 });
  for (const field of Object.values(ring.fields)) {
    for (const slot of [-1, 4, NaN]) {
      assertThrows(() => field.get(slot), RangeError, "there are 4");
      assertThrows(() => field.set(slot, 1), RangeError, "there are 4");
    }
  }
  assertEquals(memory.bytes.every((byte) => byte === 0), true);
});

Deno.test("Ring refuses structs that do not fit in, and fields that do not", async () => {
  const memory = await memoryOf(4096);
  const none = {};
  for (
    const shape of [
      { size: 0, fields: none },
      { size: 6, fields: none },
      { size: 16, entries: 257, fields: none },
      { size: 16, entries: 0, fields: none },
      { size: 8192, fields: none },
      { size: 16, fields: { a: u32(14) } },
      { size: 16, fields: { a: u32(2) } },
      { size: 16, fields: { a: u64(12) } },
      { size: 16, fields: { a: u16(-2) } },
    ]
  ) assertThrows(() => new Ring(memory, shape), RangeError);
});

Deno.test("Ring throws DETACHED once its memory was freed", async () => {
  const memory = await memoryOf(4096);
  const ring = new Ring(memory.slice(64), SHAPE);
  memory.free();
  failure("DETACHED", () => ring.fields.flags.get(0));
  failure("DETACHED", () => ring.fields.address.set(0, 1));
  failure("DETACHED", () => ring.clear());
  failure("DETACHED", () => new Ring(memory, SHAPE));
});

Deno.test("DmaMemory.slice() is a part of the memory, and has parts", async () => {
  const memory = await memoryOf(8192);
  const part = memory.slice(4096, 1024);
  assertEquals([part.size, part.iova], [1024, memory.iova + 4096n]);
  part.slice(512, 2).bytes.fill(7);
  assertEquals(memory.bytes.indexOf(7), 4608);
  assertEquals(memory.bytes.lastIndexOf(7), 4609);
  assertEquals(part.slice(1000).size, 24);
  for (
    const [offset, size] of [[-1, 1], [0, 0], [0, 8193], [8192, 1], [0.5, 1], [
      NaN,
      1,
    ]] as const
  ) assertThrows(() => memory.slice(offset, size), RangeError);
  // A part of a part is not outside of it.
  assertThrows(() => part.slice(1000, 25), RangeError);
  assertThrows(() => part.slice(-1, 1), RangeError);
  memory.free();
  failure("DETACHED", () => memory.slice(0));
  failure("DETACHED", () => part.iova);
  failure("DETACHED", () => part.bytes);
  failure("DETACHED", () => part.slice(0));
});

Deno.test("Doorbell writes its register, and the order functions need no memory", () => {
  const written: number[][] = [];
  const registers = {
    write32: (offset: number, value: number) => {
      written.push([offset, value]);
    },
  } as Registers;
  new Doorbell(registers, 0x1008).ring(5);
  assertEquals(written, [[0x1008, 5]]);
  publish();
  fence();
  const words = new Int32Array([1, 2]);
  acquire(words, 1);
  assertEquals([...words], [1, 2]);
});
