import { assertEquals, assertThrows } from "@std/assert";
import { io } from "../../../lib/uapi/ioctl.ts";
import {
  array,
  bytes,
  flexible,
  i32,
  i64,
  overlay,
  struct,
  u16,
  u32,
  u64,
  u8,
} from "../../../lib/uapi/layout.ts";

const point = struct("point", { x: u16, y: i32 });

const sample = struct("sample", {
  argsz: u32,
  tag: u8,
  at: point,
  address: u64,
  delta: i64,
  uuid: bytes(3),
  table: array(u16, 2),
});

Deno.test("struct() aligns members and pads the tail as C does", () => {
  assertEquals(sample.offset, {
    argsz: 0,
    tag: 4,
    at: 8,
    address: 16,
    delta: 24,
    uuid: 32,
    table: 36,
  });
  assertEquals([sample.size, sample.align], [40, 8]);
  assertEquals([point.size, point.align], [8, 4]);
});

Deno.test("struct() leaves a flexible tail out of the size and the values", () => {
  const list = struct("list", { count: u16, items: flexible(u32) });
  assertEquals([list.size, list.offset.items], [4, 4]);
  assertEquals(list.fields.items.element.size, 4);
  assertEquals(list.decode(list.alloc({ count: 2 }, 8)), { count: 2 });
});

Deno.test("struct() lets the members of a union share their bytes", () => {
  const either = struct("either", {
    group: u32,
    devid: overlay("group", u32),
    rest: u32,
  });
  assertEquals(either.offset, { group: 0, devid: 0, rest: 4 });
  assertEquals(either.size, 8);
  assertEquals(either.decode(either.alloc({ devid: 7 })), {
    group: 7,
    devid: 7,
    rest: 0,
  });
});

Deno.test("Struct.decode() reads what Struct.encode() wrote", () => {
  const values = {
    argsz: 1,
    tag: 0xff,
    at: { x: 0xffff, y: -(2 ** 31) },
    address: 2n ** 64n - 1n,
    delta: -(2n ** 63n),
    uuid: new Uint8Array([1, 2, 3]),
    table: [4, 5],
  };
  const buffer = new Uint8Array(100);
  sample.encode(buffer, values, 60);
  assertEquals(sample.decode(buffer, 60), values);
  assertEquals(buffer.subarray(0, 60), new Uint8Array(60));
});

Deno.test("Struct.encode() writes little-endian values", () => {
  assertEquals(
    point.alloc({ x: 0x0102, y: 0x03040506 }),
    new Uint8Array([2, 1, 0, 0, 6, 5, 4, 3]),
  );
});

Deno.test("Struct.encode() writes 0 when no value is given", () => {
  const buffer = new Uint8Array(16).fill(0xaa);
  point.encode(buffer, { x: 1 }, 4);
  assertEquals(point.decode(buffer, 4), { x: 1, y: 0 });
  assertEquals([buffer[3], buffer[6], buffer[12]], [0xaa, 0, 0xaa]);
});

Deno.test("Struct.encode() writes only to its own part of the memory", () => {
  const memory = new Uint8Array(32);
  point.encode(memory.subarray(8, 16), { x: 1, y: 2 });
  assertEquals(point.decode(memory, 8), { x: 1, y: 2 });
  assertThrows(
    () => point.encode(memory.subarray(8, 16), {}, 4),
    RangeError,
    "point: 8 bytes at offset 4 are not inside a buffer of 8 bytes",
  );
});

Deno.test("Struct.encode() sets a leading argsz or size when not given", () => {
  const ioas = struct("ioas", { size: u32, id: u32 });
  const range = struct("range", { start: u32, size: u32 });
  assertEquals(sample.decode(sample.alloc()).argsz, 40);
  assertEquals(sample.decode(sample.alloc({ argsz: 16 })).argsz, 16);
  assertEquals(ioas.decode(ioas.alloc({ id: 3 })), { size: 8, id: 3 });
  assertEquals(range.decode(range.alloc()), { start: 0, size: 0 });
});

Deno.test("Struct.alloc() counts extra bytes in argsz", () => {
  const buffer = sample.alloc({}, 24);
  assertEquals(buffer.length, 64);
  assertEquals(sample.decode(buffer).argsz, 64);
});

Deno.test("Struct.decode() copies bytes", () => {
  const buffer = sample.alloc({ uuid: new Uint8Array([1, 2, 3]) });
  const { uuid } = sample.decode(buffer);
  buffer.fill(0);
  assertEquals(uuid, new Uint8Array([1, 2, 3]));
});

Deno.test("Struct.decode() throws when the buffer is too short", () => {
  assertThrows(
    () => sample.decode(new Uint8Array(39)),
    RangeError,
    "sample: 40 bytes at offset 0 are not inside a buffer of 39 bytes",
  );
  assertThrows(() => sample.decode(new Uint8Array(80), -8), RangeError);
});

Deno.test("Struct.decodeArray() reads structs that follow each other", () => {
  const buffer = new Uint8Array(20);
  point.encode(buffer, { x: 1, y: -1 }, 4);
  point.encode(buffer, { x: 2, y: -2 }, 12);
  assertEquals(point.decodeArray(buffer, 2, 4), [
    { x: 1, y: -1 },
    { x: 2, y: -2 },
  ]);
  assertEquals(point.decodeArray(buffer, 0), []);
  assertThrows(() => point.decodeArray(buffer, 3), RangeError);
});

for (
  const [values, message] of [
    [{ tag: 256 }, "sample.tag: 256 does not fit in a u8"],
    [{ tag: -1 }, "sample.tag: -1 does not fit in a u8"],
    [{ tag: 0.5 }, "sample.tag: 0.5 does not fit in a u8"],
    [{ tag: NaN }, "sample.tag: NaN does not fit in a u8"],
    [{ at: { y: 2 ** 31 } }, "sample.at.y: 2147483648 does not fit in a i32"],
    [{ address: -1n }, "sample.address: -1 does not fit in a u64"],
    [{ delta: 2n ** 63n }, "does not fit in a i64"],
    [{ uuid: new Uint8Array(4) }, "sample.uuid: expected 3 bytes, got 4"],
    [{ table: [1] }, "sample.table: expected 2 elements, got 1"],
    [{ table: [1, 65536] }, "sample.table[1]: 65536 does not fit in a u16"],
  ] as const
) {
  Deno.test(`Struct.encode() throws RangeError when "${message}"`, () => {
    assertThrows(() => sample.alloc(values as never), RangeError, message);
  });
}

for (
  const [values, message] of [
    [{ tag: 1n }, "sample.tag: expected a number, got bigint 1"],
    [{ address: 1 }, "sample.address: expected a bigint, got number 1"],
    [{ address: null }, "sample.address: expected a bigint, got null"],
    [{ at: 1 }, "sample.at: expected an object, got number"],
    [{ uuid: [1, 2, 3] }, "sample.uuid: expected a Uint8Array"],
    [{ table: 1 }, "sample.table: expected an array, got number 1"],
    [{ at: { z: 1 } }, "sample.at.z: no such member"],
    [{ toString: 1 }, "sample.toString: no such member"],
  ] as const
) {
  Deno.test(`Struct.encode() throws TypeError when "${message}"`, () => {
    assertThrows(() => sample.alloc(values as never), TypeError, message);
  });
}

Deno.test("Struct.encode() throws TypeError when given a flexible tail", () => {
  const list = struct("list", { count: u16, items: flexible(u32) });
  assertThrows(
    () => list.alloc({ items: [1] } as never),
    TypeError,
    "list.items: a flexible array is not part of the struct",
  );
});

Deno.test("io() combines type and number, and carries the argument", () => {
  assertEquals(io("X", 0x3b, 100, "none"), {
    name: "X",
    request: 0x3b64,
    argument: "none",
  });
  assertEquals(io("Y", 0x3b, 101, point), {
    name: "Y",
    request: 0x3b65,
    argument: "struct",
    struct: point,
  });
});
