import { assert, assertEquals, assertGreater } from "@std/assert";
import { decodeRom, isRomOf, type Rom } from "../../../lib/pci/rom_image.ts";
import { makeRom } from "../../../lib/sim/pci/rom.ts";
import { randomNumbers } from "../random.ts";

const NIC = { vendor: 0x8086, device: 0x10d3, class: 0x020000 };
/** The offset of the PCI data structure in the images that are made here. */
const DATA = 0x1c;

/** A ROM with some bytes changed. */
function changed(
  rom: Uint8Array,
  changes: Readonly<Record<number, number>>,
): Uint8Array {
  const copy = rom.slice();
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value;
  return copy;
}

/** An image of revision 3 with more device ids in a list. */
function withList(list: number, ...ids: readonly number[]): Uint8Array {
  const rom = changed(makeRom(NIC), {
    [DATA + 0x08]: list & 0xff,
    [DATA + 0x09]: list >> 8,
    [DATA + 0x0c]: 3,
  });
  const view = new DataView(rom.buffer);
  ids.forEach((id, i) => view.setUint16(DATA + list + 2 * i, id, true));
  return rom;
}

const devices = (rom: Uint8Array) => decodeRom(rom).images[0]?.devices;

Deno.test("decodeRom() returns each image up to the last one", () => {
  const image = {
    vendor: 0x8086,
    devices: [0x10d3],
    class: 0x020000,
    codeType: 3,
  };
  assertEquals(decodeRom(makeRom(NIC)), {
    images: [{ offset: 0, length: 512, ...image }],
    length: 512,
  });
  const rom = new Uint8Array(8192);
  rom.set(makeRom(NIC, [9, 1, 2]));
  // Bytes after the last image are ignored.
  rom.set(makeRom(NIC), 12 * 512);
  const expected: Rom = {
    images: [
      { offset: 0, length: 4608, ...image },
      { offset: 4608, length: 512, ...image },
      { offset: 5120, length: 1024, ...image },
    ],
    length: 6144,
  };
  assertEquals(decodeRom(rom), expected);
  // The bytes need not begin at the start of their buffer.
  const inside = new Uint8Array(9000);
  inside.set(rom, 7);
  assertEquals(decodeRom(inside.subarray(7)), expected);
});

Deno.test("decodeRom() returns the images that are there when a ROM is cut short", () => {
  const rom = makeRom(NIC, [2, 2]);
  const cut = (length: number) => {
    const { images, length: romLength } = decodeRom(rom.subarray(0, length));
    return [images.length, romLength];
  };
  assertEquals(cut(2047), [2, 2048]);
  assertEquals(cut(1024 + DATA + 0x18), [2, 2048]);
  assertEquals(cut(1024 + DATA + 0x17), [1, 1024]);
  assertEquals(cut(512), [1, 1024]);
  assertEquals(cut(0x19), [0, 0]);
  assertEquals(cut(0), [0, 0]);
});

Deno.test("decodeRom() finds no image when a signature is missing, or an image has no length", () => {
  const rom = makeRom(NIC);
  for (
    const changes of [
      { 0: 0x56 },
      { 1: 0xab },
      { [DATA]: 0x51 },
      { [DATA + 3]: 0x53 },
      { 0x18: 0xff, 0x19: 0xff },
      { [DATA + 0x10]: 0 },
    ]
  ) {
    assertEquals(decodeRom(changed(rom, changes)), { images: [], length: 0 });
  }
  assertEquals(decodeRom(new Uint8Array(65_536).fill(0xff)).images, []);
  // Like a file of a flash tool.
  const shifted = new Uint8Array(1024);
  shifted.set(rom, 0x200);
  assertEquals(decodeRom(shifted).images, []);
});

Deno.test("decodeRom() reads the list of device ids when the revision is 3 or later", () => {
  assertEquals(devices(withList(0x1c, 0x10d4, 0x10d5, 0)), [
    0x10d3,
    0x10d4,
    0x10d5,
  ]);
  assertEquals(devices(withList(0x1c, 0)), [0x10d3]);
  // In older revisions this points to something else.
  const old = changed(withList(0x1c, 0x10d4, 0), { [DATA + 0x0c]: 2 });
  assertEquals(devices(old), [0x10d3]);
  // A list without an end ends with its image.
  const endless = withList(512 - DATA - 4, 0x10d4, 0x10d5);
  assertEquals(devices(endless), [0x10d3, 0x10d4, 0x10d5]);
  const behind = new Uint8Array(1024).fill(1);
  behind.set(endless);
  assertEquals(devices(behind), [0x10d3, 0x10d4, 0x10d5]);
  assertEquals(devices(changed(endless, { [DATA + 9]: 0xff })), [0x10d3]);
});

Deno.test("isRomOf() is true when one of the images is for the function", () => {
  const rom = makeRom({ ...NIC, device: 0x1521 }, [1, 1]);
  rom.set(withList(0x1c, 0x10d5, 0).subarray(0, 100), 512);
  const decoded = decodeRom(rom);
  const is = (vendor: number, device: number) =>
    isRomOf(decoded, { vendor, device });
  assertEquals(decoded.images.length, 2);
  assert(is(0x8086, 0x1521));
  assert(is(0x8086, 0x10d3));
  assert(is(0x8086, 0x10d5));
  assert(!is(0x8087, 0x10d3));
  assert(!is(0x8086, 0x10d4));
});

Deno.test("decodeRom() returns, within the bytes, when they are random", () => {
  const random = randomNumbers(11);
  let found = 0;
  for (let i = 0; i < 1000; i++) {
    const bytes = new Uint8Array(random(6) * 512 + random(600));
    const lengths = Array.from({ length: 1 + random(3) }, () => 1 + random(3));
    bytes.set(makeRom(NIC, lengths).subarray(0, bytes.length));
    for (let flips = random(8); flips > 0 && bytes.length > 0; flips--) {
      // Most of them at places that are decoded.
      const at = random(2) * 512 + random(random(3) === 0 ? 512 : 0x40);
      if (at < bytes.length) bytes[at] = random(256);
    }
    const { images, length } = decodeRom(bytes);
    found += images.length;
    let at = 0;
    for (const image of images) {
      assertEquals(image.offset, at);
      assertEquals(image.length % 512, 0);
      assertGreater(image.length, 0);
      at += image.length;
    }
    assertEquals(length, at);
  }
  assertGreater(found, 300);
  const noise = Uint8Array.from({ length: 16_384 }, () => random(256));
  for (let at = 0; at < 16_000; at++) {
    noise.set([0x55, 0xaa], at);
    decodeRom(noise.subarray(at));
  }
});
