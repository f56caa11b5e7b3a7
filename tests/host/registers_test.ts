/**
 * Optimised code must access a register exactly as often as the source does,
 * although the compiler removes unused loads of ordinary memory, and merges
 * repeated ones. A watchpoint of the processor counts them.
 */
import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { MappedRegisters } from "../../lib/device/regions/mapped_registers.ts";
import { VfioError } from "../../lib/errors.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { loadAll } from "./load_all.ts";
import { LOADS_AND_STORES, STORES, watch } from "./watchpoint.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

/** How often a loop's body is run while its accesses are counted. */
const TIMES = 1000;

/** Registers in ordinary memory. */
function setUp() {
  const mapping = kernel.mmap(
    4096,
    PROT_READ | PROT_WRITE,
    MAP_SHARED | MAP_ANONYMOUS,
    -1,
    0n,
  );
  const registers = new MappedRegisters(
    "memory",
    mapping,
    () => kernel.munmap(mapping),
  );
  return { registers, mapping, [Symbol.dispose]: () => registers.unmap() };
}

// Otherwise the optimising compiler runs in another thread, and may be late.
setFlagsFromString("--no-concurrent-recompilation");

/**
 * Runs a loop until it is optimised, then counts the accesses of one run.
 *
 * @param loop Runs its body a number of times.
 * @param address The register that it accesses.
 * @param width Its width, in bytes.
 * @returns Loads and stores for each run of the body.
 */
function accesses(
  loop: (times: number) => unknown,
  address: bigint,
  width: number,
): { loads: number; stores: number } {
  for (let i = 0; i < 20_000; i++) loop(100);
  const counted = [LOADS_AND_STORES, STORES].map((kind) => {
    using counter = watch(kernel, address, width, kind)!;
    loop(TIMES);
    return counter.count() / TIMES;
  });
  const [all, stores] = counted as [number, number];
  return { loads: all - stores, stores };
}

/**
 * Whether this process can set a watchpoint here, and the processor notices it:
 * in some virtual machines it does not.
 */
function canWatch(): boolean {
  using memory = setUp();
  const { address, length } = memory.mapping;
  using counter = watch(kernel, address, 4, LOADS_AND_STORES);
  if (counter === undefined) return false;
  new Uint8Array(memory.mapping.buffer, 0, length).fill(1);
  return counter.count() > 0;
}

/** A test's loop, and the accesses that it must make. */
interface Case {
  readonly name: string;
  readonly width: 1 | 2 | 4 | 8;
  readonly loads: number;
  readonly stores: number;
  loop(registers: MappedRegisters): (times: number) => unknown;
}

const CASES: readonly Case[] = [
  {
    name: "read32() loads once when its value is not used",
    width: 4,
    loads: 1,
    stores: 0,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) registers.read32(8);
    },
  },
  {
    name: "read32() loads twice when it is called twice for one value",
    width: 4,
    loads: 2,
    stores: 0,
    loop: (registers) => (times) => {
      let sum = 0;
      for (let i = 0; i < times; i++) {
        sum += registers.read32(8) ^ registers.read32(8);
      }
      return sum;
    },
  },
  {
    name: "read32() loads each time when a loop is unrolled",
    width: 4,
    loads: 4,
    stores: 0,
    loop: (registers) => (times) => {
      let sum = 0;
      for (let i = 0; i < 4 * times; i++) sum ^= registers.read32(8);
      return sum;
    },
  },
  {
    name: "read32() loads once when a store to the register precedes it",
    width: 4,
    loads: 1,
    stores: 1,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.write32(8, i);
        registers.read32(8);
      }
    },
  },
  {
    name: "write32() stores each time when the value is the same",
    width: 4,
    loads: 0,
    stores: 2,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.write32(8, 5);
        registers.write32(8, 5);
      }
    },
  },
  {
    name: "write32() of a value of read32() loads once and stores once",
    width: 4,
    loads: 1,
    stores: 1,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.write32(8, registers.read32(8) | 4);
      }
    },
  },
  {
    name: "read8() and write8() are one access each",
    width: 1,
    loads: 1,
    stores: 1,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.read8(8);
        registers.write8(8, i & 0xff);
      }
    },
  },
  {
    name: "read16() and write16() are one access each",
    width: 2,
    loads: 1,
    stores: 1,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.read16(8);
        registers.write16(8, i & 0xff);
      }
    },
  },
  {
    name: "read64() and write64() are one access each",
    width: 8,
    loads: 1,
    stores: 1,
    loop: (registers) => (times) => {
      for (let i = 0; i < times; i++) {
        registers.read64(8);
        registers.write64(8, 5n);
      }
    },
  },
];

const ignore = !canWatch();
if (ignore) console.warn("no watchpoints here: accesses are not counted");

for (const { name, width, loads, stores, loop } of CASES) {
  Deno.test({
    name: `MappedRegisters.${name}`,
    ignore,
    fn() {
      using memory = setUp();
      const address = memory.mapping.address + 8n;
      assertEquals(
        accesses(loop(memory.registers), address, width),
        { loads, stores },
      );
    },
  });
}

Deno.test({
  name: "A plain array's read is removed when its value is not used",
  ignore,
  fn() {
    // Shows that the tests above can fail.
    using memory = setUp();
    const words = new Uint32Array(memory.mapping.buffer);
    const loop = (times: number) => {
      for (let i = 0; i < times; i++) words[2];
    };
    const address = memory.mapping.address + 8n;
    assertLess((accesses(loop, address, 4)).loads, 1);
  },
});

Deno.test("MappedRegisters throws DETACHED when it is used after unmapping, also in optimised code", () => {
  const memory = setUp();
  const { registers } = memory;
  const step = (i: number) => {
    registers.write32(8, i);
    return registers.read32(8);
  };
  for (let i = 0; i < 200_000; i++) step(i);
  for (let i = 0; i < 1000; i++) assertEquals(step(i), i);
  registers.unmap();
  for (let i = 0; i < 1000; i++) {
    assertEquals(assertThrows(() => step(i), VfioError).code, "DETACHED");
  }
});
