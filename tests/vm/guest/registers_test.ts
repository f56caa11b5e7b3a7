/**
 * Registers: each access in the source is exactly one access of that width on
 * the device.
 */
import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import type { Registers } from "../../../mod.ts";
import {
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../lib/uapi/linux/mman.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_INTERRUPT_LINE,
} from "../../../lib/uapi/pci/regs.ts";
import { refused } from "../../failures.ts";
import { forEachBackend, host } from "./setup.ts";

/**
 * A VGA palette counts accesses to its data register: each moves on to the next
 * colour component. QEMU's `secondary-vga` has the ports from 0x3c0 on in BAR 2
 * (`docs/specs/standard-vga.rst` in QEMU).
 */
const VGA_BAR = 2;
const READ_INDEX = 0x407;
const WRITE_INDEX = 0x408;
const DATA = 0x409;

/** Counts how often `run` reads the data register, up to 255. */
function readsBy(vga: Registers, run: () => unknown): number {
  vga.write8(WRITE_INDEX, 0);
  for (let component = 0; component < 768; component++) {
    vga.write8(DATA, component & 0xff);
  }
  vga.write8(READ_INDEX, 0);
  run();
  return vga.read8(DATA);
}

/** Counts how often `run` writes the data register. */
function writesBy(vga: Registers, run: () => unknown): number {
  vga.write8(WRITE_INDEX, 0);
  run();
  // The index moves on when all three components of a colour are written.
  const colours = vga.read8(WRITE_INDEX);
  let rest = 0;
  for (; vga.read8(WRITE_INDEX) === colours; rest++) vga.write8(DATA, 0);
  return colours * 3 + 3 - rest;
}

/** Accesses to the data register, and their number. */
const READS: Record<string, [(vga: Registers) => unknown, number]> = {
  "two reads": [(vga) => vga.read8(DATA) ^ vga.read8(DATA), 2],
  "a read whose result is unused": [(vga) => {
    vga.read8(DATA);
  }, 1],
  "a read before another one": [(vga) => {
    vga.read8(DATA);
    return vga.read8(DATA);
  }, 2],
  "four reads in a loop": [(vga) => {
    let value = 0;
    for (let i = 0; i < 4; i++) value ^= vga.read8(DATA);
    return value;
  }, 4],
  "reads until a value comes": [(vga) => {
    while (vga.read8(DATA) % 8 !== 5);
  }, 6],
  "two reads of 16 bits": [
    (vga) => vga.read16(WRITE_INDEX) ^ vga.read16(WRITE_INDEX),
    2,
  ],
  "two reads of 32 bits": [
    (vga) => vga.read32(WRITE_INDEX) ^ vga.read32(WRITE_INDEX),
    2,
  ],
  "a read of 32 bits whose result is unused": [(vga) => {
    vga.read32(WRITE_INDEX);
  }, 1],
};

const WRITES: Record<string, [(vga: Registers) => void, number]> = {
  "two writes of one value": [(vga) => {
    vga.write8(DATA, 7);
    vga.write8(DATA, 7);
  }, 2],
  "five writes in a loop": [(vga) => {
    for (let i = 0; i < 5; i++) vga.write8(DATA, 7);
  }, 5],
};

/** The registers as an ordinary array, whose reads the compiler may merge. */
function plainView(fd: number, size: number) {
  const protection = PROT_READ | PROT_WRITE;
  const start = BigInt(VGA_BAR) << 40n; // VFIO_PCI_INDEX_TO_OFFSET
  const { kernel } = host;
  const mapping = kernel.mmap(size, protection, MAP_SHARED, fd, start);
  return {
    bytes: new Uint8Array(mapping.buffer),
    [Symbol.dispose]: () => kernel.munmap(mapping),
  };
}

// Otherwise the optimising compiler runs in another thread, and may be late.
setFlagsFromString("--no-concurrent-recompilation");

/** Calls a function until it has been optimised. */
function warmUp(run: () => unknown): void {
  for (let i = 0; i < 200_000; i++) run();
}

forEachBackend(
  "MappedRegisters accesses registers exactly as written in the source when the code is optimised",
  async (setup) => {
    const device = await setup.attach("vga0");
    const vga = device.region(VGA_BAR).map();
    using plain = plainView(device.fd, vga.size);
    const { bytes } = plain;
    const merged = () => bytes[DATA]! ^ bytes[DATA]!;
    assertEquals(readsBy(vga, merged), 2);
    warmUp(merged);
    // The compiler merges these reads, so it could merge those below.
    assertLess(readsBy(vga, merged), 2);

    for (const [name, [access, count]] of Object.entries(READS)) {
      const run = () => access(vga);
      assertEquals(readsBy(vga, run), count, name);
      warmUp(run);
      assertEquals(readsBy(vga, run), count, `${name}, optimised`);
    }
    for (const [name, [access, count]] of Object.entries(WRITES)) {
      const run = () => access(vga);
      assertEquals(writesBy(vga, run), count, name);
      warmUp(run);
      assertEquals(writesBy(vga, run), count, `${name}, optimised`);
    }
  },
);

forEachBackend(
  "Region accesses registers exactly as written in the source",
  async (setup) => {
    const device = await setup.attach("vga0");
    const vga = device.region(VGA_BAR);
    for (const [name, [access, count]] of Object.entries(READS)) {
      assertEquals(readsBy(vga, () => access(vga)), count, name);
    }
    for (const [name, [access, count]] of Object.entries(WRITES)) {
      assertEquals(writesBy(vga, () => access(vga)), count, name);
    }
  },
);

forEachBackend(
  "Registers are little-endian, of 8 to 64 bits",
  async (setup) => {
    const device = await setup.attach("vga0");
    // Video memory, which fills BAR 0.
    const region = device.region(0);
    const mapped = region.map();
    assertEquals(mapped.size, region.size);
    for (
      const [one, other] of [
        [region, mapped],
        [mapped, region],
      ] as [Registers, Registers][]
    ) {
      one.write64(0, 0x8877_6655_4433_2211n);
      for (const registers of [one, other]) {
        assertEquals(registers.read64(0), 0x8877_6655_4433_2211n);
        assertEquals(registers.read32(4), 0x8877_6655);
        assertEquals(registers.read16(2), 0x4433);
        assertEquals(registers.read8(7), 0x88);
      }
      other.write32(0, 0xdead_beef);
      other.write16(4, 0xcafe);
      other.write8(6, 0x42);
      other.write8(7, 0xff);
      assertEquals(one.read64(0), 0xff42_cafe_dead_beefn);
    }
    // The last ones.
    mapped.write32(mapped.size - 4, 0x1234_5678);
    assertEquals(region.read32(region.size - 4), 0x1234_5678);
  },
);

forEachBackend(
  "Registers throw when an access is outside, unaligned, or too large a value",
  async (setup) => {
    const device = await setup.attach("vga0");
    const region = device.region(0);
    const mapped = region.map();
    for (const registers of [region, mapped, device.config]) {
      const { size } = registers;
      const before = registers.read64(0);
      for (const offset of [-1, 1.5, NaN, Infinity, size, size + 1, 2 ** 53]) {
        assertThrows(() => registers.read8(offset), RangeError);
        assertThrows(() => registers.write8(offset, 0), RangeError);
      }
      for (
        const [width, access] of [
          [2, (at) => registers.read16(at)],
          [2, (at) => registers.write16(at, 0)],
          [4, (at) => registers.read32(at)],
          [4, (at) => registers.write32(at, 0)],
          [8, (at) => registers.read64(at)],
          [8, (at) => registers.write64(at, 0n)],
        ] as [number, (offset: number) => unknown][]
      ) {
        for (const offset of [-width, 1, width - 1, size - 1, size]) {
          assertThrows(() => access(offset), RangeError);
        }
      }
      for (const value of [-1, 0.5, NaN]) {
        assertThrows(() => registers.write8(0, value), RangeError);
        assertThrows(() => registers.write16(0, value), RangeError);
        assertThrows(() => registers.write32(0, value), RangeError);
      }
      assertThrows(() => registers.write8(0, 0x100), RangeError);
      assertThrows(() => registers.write16(0, 0x1_0000), RangeError);
      assertThrows(() => registers.write32(0, 0x1_0000_0000), RangeError);
      assertThrows(() => registers.write64(0, -1n), RangeError);
      assertThrows(() => registers.write64(0, 1n << 64n), RangeError);
      assertEquals(registers.read64(0), before);
    }
  },
);

forEachBackend(
  "VfioDevice.config reads and writes config space in every width",
  async (setup) => {
    const { config } = await setup.attach("edu0");
    const bytes = Array.from({ length: 64 }, (_, i) => config.read8(i));
    const view = new DataView(Uint8Array.from(bytes).buffer);
    for (let at = 0; at < 64; at += 4) {
      assertEquals(config.read16(at), view.getUint16(at, true));
      assertEquals(config.read32(at), view.getUint32(at, true));
    }

    const line = config.read8(PCI_INTERRUPT_LINE);
    config.write8(PCI_INTERRUPT_LINE, line ^ 0xff);
    assertEquals(config.read8(PCI_INTERRUPT_LINE), line ^ 0xff);

    const command = config.read16(PCI_COMMAND);
    config.write16(PCI_COMMAND, command ^ PCI_COMMAND_INTX_DISABLE);
    assertEquals(
      config.read16(PCI_COMMAND),
      command ^ PCI_COMMAND_INTX_DISABLE,
    );

    // Probes the size of a BAR, 1 MiB.
    const bar = config.read32(PCI_BASE_ADDRESS_0);
    config.write32(PCI_BASE_ADDRESS_0, 0xffff_ffff);
    const mask = config.read32(PCI_BASE_ADDRESS_0) & ~0xf;
    assertEquals(-mask, 1 << 20);
    config.write32(PCI_BASE_ADDRESS_0, bar);
    assertEquals(config.read32(PCI_BASE_ADDRESS_0), bar);
  },
);

forEachBackend("Region.read() and write() move blocks", async (setup) => {
  const device = await setup.attach("vga0");
  const { config } = device;
  const header = new Uint8Array(64);
  config.read(0, header);
  assertEquals([...header], Array.from(header, (_, i) => config.read8(i)));

  const memory = device.region(0);
  const mapped = memory.map();
  const block = crypto.getRandomValues(new Uint8Array(4099));
  memory.write(5, block);
  const back = new Uint8Array(block.length);
  memory.read(5, back);
  assertEquals(back, block);
  assertEquals(mapped.read8(5), block[0]);
  assertEquals(mapped.read8(5 + 4098), block[4098]);
  memory.read(memory.size - 4099, back);

  for (const offset of [-1, 0.5, memory.size - 4098, memory.size]) {
    assertThrows(() => memory.read(offset, back), RangeError);
    assertThrows(() => memory.write(offset, block), RangeError);
  }
});

forEachBackend(
  "Region.map() maps only a part when offset and size are given",
  async (setup) => {
    const device = await setup.attach("vga0");
    const region = device.region(0);
    const part = region.map({ offset: 8192, size: 4096 });
    assertEquals(part.size, 4096);
    part.write32(0, 0x1234_5678);
    part.write32(4092, 0x9abc_def0);
    assertEquals(region.read32(8192), 0x1234_5678);
    assertEquals(region.read32(8192 + 4092), 0x9abc_def0);
    assertThrows(() => part.read32(4096), RangeError);

    for (
      const area of [
        { offset: 100, size: 4096 },
        { offset: 0, size: region.size + 4096 },
        { offset: region.size, size: 4096 },
        { offset: -4096, size: 4096 },
        { offset: 0, size: 0 },
      ]
    ) {
      assertThrows(() => region.map(area), RangeError);
    }
  },
);

forEachBackend(
  "Region.map() throws when a region cannot be mapped, or does not exist",
  async (setup) => {
    const device = await setup.attach("edu0");
    await refused("NOT_SUPPORTED", () => device.config.map());
    const absent = device.region(1);
    assertEquals(absent.size, 0);
    assertThrows(() => absent.read8(0), RangeError);
    await refused("NOT_SUPPORTED", () => absent.map());
    for (const index of [-1, 0.5, device.info.regions]) {
      assertThrows(() => device.region(index), RangeError);
    }
  },
);

forEachBackend(
  "MappedRegisters.unmap() unmaps only these registers",
  async (setup) => {
    const device = await setup.attach("vga0");
    const region = device.region(0);
    const one = region.map();
    const other = region.map();
    one.unmap();
    one.unmap();
    assertEquals(one.size, 0);
    await assertGone(one);
    other.write32(0, 0x1234_5678);
    assertEquals(region.read32(0), 0x1234_5678);
  },
);

forEachBackend(
  "Registers throw when their device is detached",
  async (setup) => {
    const device = await setup.attach("vga0");
    const region = device.region(0);
    const mapped = region.map();
    const { config } = device;
    // Optimised code, too.
    const read = () => mapped.read32(0);
    warmUp(read);
    await device.detach();
    await refused("DETACHED", read);
    for (const registers of [mapped, region, config]) {
      await assertGone(
        registers,
      );
    }
    await refused("DETACHED", () => region.read(0, new Uint8Array(4)));
    await refused("DETACHED", () => region.map());
    await refused("DETACHED", () => device.region(2));
    await refused("DETACHED", () => device.fd);
    await refused("DETACHED", () => device.setBusMaster(true));

    const again = await setup.attach("vga0");
    again.region(0).map();
    await refused("DETACHED", read);
  },
);

async function assertGone(registers: Registers): Promise<void> {
  await refused("DETACHED", () => registers.read8(0));
  await refused("DETACHED", () => registers.read16(0));
  await refused("DETACHED", () => registers.read32(0));
  await refused("DETACHED", () => registers.read64(0));
  await refused("DETACHED", () => registers.write8(0, 0));
  await refused("DETACHED", () => registers.write16(0, 0));
  await refused("DETACHED", () => registers.write32(0, 0));
  await refused("DETACHED", () => registers.write64(0, 0n));
}
