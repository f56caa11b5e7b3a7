/**
 * The measurements on this machine itself, without emulation.
 *
 * @module
 */
import { join } from "@std/path";
import { AddressSpace, Host } from "../../mod.ts";
import { MappedRegisters } from "../../lib/device/regions/mapped_registers.ts";
import { IovaAllocator } from "../../lib/dma/iova_allocator.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import type { Ioctl } from "../../lib/uapi/ioctl.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { run } from "../vm/command.ts";
import { compare, type Comparison, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

/** `asm-generic/ioctls.h`: how many bytes can be read. */
const FIONREAD: Ioctl = {
  name: "FIONREAD",
  request: 0x541b,
  argument: "u32",
};

const PAGE = 4096;

const IOCTL = {
  target: 1.15,
  holds:
    "The process has threads, as Deno always has: the kernel then counts " +
    "each use of a descriptor up and down. C with a second thread pays for " +
    "that, too.",
};

/**
 * Measures on this machine.
 *
 * @param program The C program.
 * @param dir A directory for a named pipe.
 * @param rounds How many rounds there are.
 */
export async function* measureHost(
  program: string,
  dir: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  const kernel = new LibcKernel();
  await using peer = new Peer(program);
  yield* measureIoctl(kernel, peer, join(dir, "pipe"), rounds);
  yield await measureMemory(kernel, peer, rounds);
  yield await measureMap(kernel, rounds);
  for (const mappings of [1, 1000, 64_000]) {
    yield await measureAllocator(mappings, rounds);
  }
}

async function* measureIoctl(
  kernel: Kernel,
  peer: Peer,
  path: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  await run(["mkfifo", path]);
  const fd = kernel.open(path, O_RDWR);
  const unread = new Uint8Array(4);
  const contest = { warmUp: 1e6, times: 5000, rounds };
  const c = peer.contestant("ioctl", path);
  const ts = timed((times) => {
    for (let i = 0; i < times; i++) kernel.ioctl(fd, FIONREAD, unread);
  });
  yield await compare({ what: "one ioctl", ...IOCTL, ...contest }, { ts, c });
  await peer.ask("thread");
  yield await compare(
    { what: "one ioctl, C with a second thread", ...contest },
    { ts, c },
  );
  kernel.close(fd);
}

/**
 * Measures the library's part of a register read, as memory answers at once.
 */
async function measureMemory(
  kernel: Kernel,
  peer: Peer,
  rounds: number,
): Promise<Comparison> {
  const memory = kernel.mmap(
    PAGE,
    PROT_READ | PROT_WRITE,
    MAP_SHARED | MAP_ANONYMOUS,
    -1,
    0n,
  );
  using registers = new MappedRegisters(
    "memory",
    memory,
    () => kernel.munmap(memory),
  );
  return await compare(
    { what: "32-bit read of memory", warmUp: 1e6, times: 1e5, rounds },
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) registers.read32(0);
      }),
      c: peer.contestant("memory"),
    },
  );
}

/**
 * Measures the library's part of a map and unmap: without a device there is no
 * kernel call.
 */
async function measureMap(
  kernel: Kernel,
  rounds: number,
): Promise<Comparison> {
  const host = new Host({ kernel });
  await using space = new AddressSpace({ host });
  await using store = new AddressSpace({ host });
  const memory = store.allocate(PAGE);
  return await compare(
    { what: "map + unmap, no device", warmUp: 1e5, times: 5000, rounds },
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) space.map(memory).unmap();
      }),
    },
  );
}

/** Measures allocating and freeing an IOVA for a page, among other mappings. */
async function measureAllocator(
  mappings: number,
  rounds: number,
): Promise<Comparison> {
  const end = 2 ** 36;
  const allocator = new IovaAllocator([{ first: 0, end }]);
  const pages = Array.from(
    { length: mappings },
    () => allocator.allocate(1, 1, end)!,
  );
  let next = 0;
  return await compare(
    {
      what: `an IOVA among ${mappings.toLocaleString("en")}`,
      warmUp: 1e5,
      times: 5000,
      rounds,
    },
    // In all places in turn, not only beside the last one.
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) {
          allocator.release(pages[next]!);
          pages[next] = allocator.allocate(1, 1, end)!;
          next = (next + 7919) % mappings;
        }
      }),
    },
  );
}
