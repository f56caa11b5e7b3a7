/**
 * The measurements of large mappings, of many, and of what was written, in the
 * guest: `iommu_guest.ts PROGRAM ROUNDS` prints a comparison in each line, as
 * JSON.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import {
  AddressSpace,
  type BackendName,
  type DmaMapping,
  Host,
  type MemoryRange,
  VfioDevice,
} from "../../mod.ts";
import { O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import {
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { compare, type Comparison, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What is mapped as a whole: name, bytes, and times in a round. */
const SIZES = [
  ["2 MiB", 2 * MIB, 20],
  ["1 GiB", GIB, 1],
] as const;

/** As many mappings as a container takes. */
const MAPPINGS = 65_535;
/** How many of these are measured at either end. */
const SAMPLE = 5000;

/** The longest that mapping may hold the event loop, in nanoseconds. */
const LONGEST_PAUSE = 5e6;

/** How much of a bitmap of 1 GiB pieces is read. */
const PIECES = 16;
/** Behind the window that the processor's interrupts have. */
const FIRST_IOVA = 1n << 32n;

/** Memory of huge pages, which C and the library map in turn. */
const HUGE_FILE = "/dev/hugepages/bench";
const SMALL_FILE = "/dev/shm/bench";

const host = new Host();

/** Makes a file of huge pages and one of a page. */
async function makeFiles(): Promise<void> {
  const pool = "/proc/sys/vm/nr_hugepages";
  await Deno.writeTextFile(pool, String(GIB / (2 * MIB)));
  const pages = Number(await Deno.readTextFile(pool)) * 2 * MIB;
  if (pages < GIB) throw new Error(`Only ${pages} bytes of huge pages`);
  for (const [path, bytes] of [[HUGE_FILE, GIB], [SMALL_FILE, PAGE]] as const) {
    using file = await Deno.create(path);
    await file.truncate(bytes);
  }
}

/** Memory of one of the files. */
function memoryOf(path: string, size: number): MemoryRange & Disposable {
  const { kernel } = host;
  const fd = kernel.open(path, O_RDWR);
  const protection = PROT_READ | PROT_WRITE;
  const mapping = kernel.mmap(size, protection, MAP_SHARED, fd, 0n);
  kernel.close(fd);
  return {
    address: mapping.address,
    size,
    [Symbol.dispose]: () => kernel.munmap(mapping),
  };
}

async function* measureLarge(
  backend: BackendName,
  peer: Peer,
  space: AddressSpace,
  rounds: number,
): AsyncGenerator<Comparison> {
  for (const [name, size, times] of SIZES) {
    using memory = memoryOf(HUGE_FILE, size);
    yield await compare(
      {
        what: `${backend}: map + unmap, ${name} of huge pages`,
        target: 1.1,
        warmUp: times === 1 ? 2 : 500,
        times,
        rounds,
      },
      {
        ts: timed((times) => {
          for (let i = 0; i < times; i++) space.unsafeMap(memory).unmap();
        }),
        c: peer.contestant("map", HUGE_FILE, size),
      },
    );
  }
}

/** The samples of mappings that are made, and taken away. */
const STEPS = [
  ["grow", "the first of 65,535 mappings", SAMPLE],
  ["grow", undefined, MAPPINGS - 2 * SAMPLE],
  ["grow", "the last of them", SAMPLE],
  ["shrink", "their unmap, the first", SAMPLE],
  ["shrink", undefined, MAPPINGS - 2 * SAMPLE],
  ["shrink", "their unmap, the last", SAMPLE],
] as const;

async function* measureMany(
  backend: BackendName,
  peer: Peer,
  space: AddressSpace,
  rounds: number,
): AsyncGenerator<Comparison> {
  using memory = memoryOf(SMALL_FILE, PAGE);
  const mappings: DmaMapping[] = [];
  const own = {
    grow: timed((times) => {
      for (let i = 0; i < times; i++) mappings.push(space.unsafeMap(memory));
    }),
    shrink: timed((times) => {
      // Not shift(), which moves what is left.
      const from = MAPPINGS - left;
      for (let i = 0; i < times; i++) mappings[from + i]!.unmap();
      left -= times;
    }),
  };
  let left = MAPPINGS;
  const results = STEPS.map(() => ({ c: [] as number[], ts: [] as number[] }));
  // Once before, so that the code is optimised.
  for (let round = -1; round < rounds; round++) {
    left = MAPPINGS;
    mappings.length = 0;
    for (const who of ["c", "ts"] as const) {
      for (const [i, [command, , times]] of STEPS.entries()) {
        const words = command === "grow" ? [SMALL_FILE, PAGE] : [];
        const time = who === "ts"
          ? await own[command](times)
          : await peer.ask(command, times, ...words);
        if (round >= 0) results[i]![who].push(time / times);
      }
    }
  }
  const rest = { times: SAMPLE };
  for (const [i, [, name]] of STEPS.entries()) {
    if (name === undefined) continue;
    yield { what: `${backend}: ${name}`, ...rest, ...results[i]! };
  }
  for (const [name, first, last] of [["map", 0, 2], ["unmap", 3, 5]] as const) {
    yield {
      what: `${backend}: ${name}, the last in times of the first`,
      target: 1.1,
      ...rest,
      c: results[first]!.ts,
      ts: results[last]!.ts,
    };
  }
}

/** Measures how long the event loop waits at most while memory is mapped. */
async function measurePause(
  backend: BackendName,
  space: AddressSpace,
  rounds: number,
): Promise<Comparison> {
  await using store = new AddressSpace({ host });
  const memory = store.allocate(GIB, { hugepages: "2M" });
  const pauses: number[] = [];
  for (let round = -1; round < rounds; round++) {
    let longest = 0;
    let last = performance.now();
    let over = false;
    const look = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      if (!over) setImmediate(look);
    };
    setImmediate(look);
    const mapping = await space.mapAsync(memory);
    over = true;
    look();
    mapping.unmap();
    if (round >= 0) pauses.push(longest * 1e6);
  }
  return {
    what: `${backend}: longest pause while 1 GiB of huge pages is mapped`,
    limit: LONGEST_PAUSE,
    times: 1,
    c: [],
    ts: pauses,
  };
}

async function* measureDirty(
  backend: BackendName,
  peer: Peer,
  space: AddressSpace,
  rounds: number,
): AsyncGenerator<Comparison> {
  using memory = memoryOf(HUGE_FILE, GIB);
  const mappings = Array.from({ length: PIECES }, (_, i) => {
    const iova = FIRST_IOVA + BigInt(i * GIB);
    return space.unsafeMap(memory, { iova });
  });
  await peer.ask("grow", PIECES, HUGE_FILE, GIB);
  await space.dirty.start();
  yield await compare(
    {
      what: `${backend}: 16 GiB's dirty bits, read and walked`,
      target: 1.3,
      warmUp: 60,
      times: 2,
      rounds,
    },
    {
      ts: timed(async (times) => {
        for (let i = 0; i < times; i++) {
          const size = PIECES * GIB;
          const bitmap = await space.dirty.read({ iova: FIRST_IOVA, size });
          let sum = 0;
          bitmap.forEach((_, bytes) => {
            sum += bytes;
          });
          if (sum !== size) throw new Error(`${sum} bytes were written`);
        }
      }),
      c: peer.contestant("dirty"),
    },
  );
  await space.dirty.stop();
  await peer.ask("shrink", PIECES);
  for (const mapping of mappings) mapping.unmap();
}

async function* measure(
  backend: BackendName,
  peer: Peer,
  rounds: number,
): AsyncGenerator<Comparison> {
  const { bench0, bench1 } = currentMachine()!.devices;
  await peer.ask("open", backend, bench1!);
  await using space = new AddressSpace({ backend, host });
  await using _device = await VfioDevice.attach(bench0!, space);
  yield* measureLarge(backend, peer, space, rounds);
  if (backend === "legacy") yield* measureDirty(backend, peer, space, rounds);
  yield* measureMany(backend, peer, space, Math.ceil(rounds / 10));
  // Huge pages that are free, as these are allocated.
  await Deno.remove(HUGE_FILE);
  yield await measurePause(backend, space, rounds);
  await peer.ask("close");
}

async function main(program: string, rounds: number): Promise<void> {
  const { devices, backends } = currentMachine()!;
  for (const name of ["bench0", "bench1"]) await host.take(devices[name]!);
  for (const backend of backends) {
    await makeFiles();
    await using peer = new Peer(program);
    for await (const comparison of measure(backend, peer, rounds)) {
      console.log(JSON.stringify(comparison));
    }
  }
}

const [program, rounds] = Deno.args;
await main(program!, Number(rounds));
