/**
 * The measurements in the guest: `guest.ts PROGRAM ROUNDS` prints a comparison
 * in each line, as JSON.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
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
import { compare, type Comparison, type Contestant, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

/** The mappings: name, bytes, times in a round, and times before. */
const SIZES = [
  ["4 KiB", 2 ** 12, 100, 50_000],
  ["2 MiB", 2 ** 21, 5, 1000],
] as const;

const ATTACH = {
  target: 1.3,
  holds: "A third of a million instructions of the library's and of Deno's, " +
    "beside 80 thousand of the C program's and the kernel's: an emulated " +
    "processor takes one like the other, this machine's own takes 100 µs for " +
    "the library's. Opening and closing are handed to another thread, as either " +
    "can reset the device for 0.1 s.",
};
const AT_ONCE = {
  target: 1.2,
  holds: "As with one device; and each is opened and closed in a thread of " +
    "its own, so that 16 resets take the time of one. Where nothing resets " +
    "the threads cost more than they gain, in C as well.",
};
const MAP = {
  target: 1.3,
  holds: "Finding an IOVA, and calculating with bigints: 5 thousand " +
    "instructions beside 6 (legacy) and 11 thousand (iommufd) of the C " +
    "program's and the kernel's. What this machine's own processor takes for " +
    'them is "map + unmap, no device".',
};
const READ = {
  target: 1.5,
  holds: "Checking the offset: 40 instructions, which an emulated processor " +
    "takes half as long for as for the access.",
};

const host = new Host();

/** The functions that are measured. */
interface Addresses {
  /**
   * Sixteen functions that nothing resets, QEMU's `pci-testdev`. Their attach
   * is quick, and shows all that the library adds.
   */
  readonly plain: readonly string[];
  /**
   * A function that is reset when it is opened and closed, as most are: an
   * NVMe.
   */
  readonly resettable: string;
}

async function* measureAttach(
  backend: BackendName,
  peer: Peer,
  { plain, resettable }: Addresses,
  rounds: number,
): AsyncGenerator<Comparison> {
  const what = `${backend}: attach + detach`;
  const [first] = plain;
  yield await compare(
    { what: `${what}, 1 device`, ...ATTACH, warmUp: 100, times: 1, rounds },
    {
      ts: attaching(backend, [first!]),
      c: peer.contestant("attach", backend, first!),
    },
  );
  const few = { times: 1, rounds: Math.ceil(rounds / 3) };
  yield await compare(
    { what: `${what}, 1 that resets`, ...ATTACH, warmUp: 1, ...few },
    {
      ts: attaching(backend, [resettable]),
      c: peer.contestant("attach", backend, resettable),
    },
  );
  const ts = attaching(backend, plain);
  yield await compare(
    { what: `${what}, 16 at once`, ...AT_ONCE, warmUp: 2, ...few },
    { ts, c: peer.contestant("attach", backend, ...plain) },
  );
  yield await compare(
    { what: `${what}, 16 at once, C in threads`, warmUp: 0, ...few },
    { ts, c: peer.contestant("attach-threads", backend, ...plain) },
  );
}

function attaching(
  backend: BackendName,
  addresses: readonly string[],
): Contestant {
  return timed(async (times) => {
    for (let i = 0; i < times; i++) {
      await using space = new AddressSpace({ backend, host });
      await Promise.all(
        addresses.map((address) => VfioDevice.attach(address, space)),
      );
    }
  });
}

// C uses another device, as a group has one owner.
async function* measureAttached(
  backend: BackendName,
  peer: Peer,
  { plain: [itsAddress, address] }: Addresses,
  rounds: number,
): AsyncGenerator<Comparison> {
  await peer.ask("open", backend, itsAddress!);
  await using space = new AddressSpace({ backend, host });
  await using device = await VfioDevice.attach(address!, space);
  yield* measureMap(`${backend}: map + unmap`, peer, space, rounds);
  yield* measureRead(`${backend}: 32-bit register read`, peer, device, rounds);
  await peer.ask("close");
}

async function* measureMap(
  what: string,
  peer: Peer,
  space: AddressSpace,
  rounds: number,
): AsyncGenerator<Comparison> {
  for (const [size, bytes, times, warmUp] of SIZES) {
    // Both map the same pages, as the cost depends on their place in memory.
    const file = `/dev/shm/bench-${bytes}`;
    await Deno.writeFile(file, new Uint8Array(bytes));
    const memory = mapFile(file, bytes);
    yield await compare(
      { what: `${what}, ${size}`, ...MAP, warmUp, times, rounds },
      {
        ts: timed((times) => {
          for (let i = 0; i < times; i++) space.unsafeMap(memory).unmap();
        }),
        c: peer.contestant("map", file, bytes),
      },
    );
  }
}

function mapFile(file: string, size: number): MemoryRange {
  const { kernel } = host;
  const fd = kernel.open(file, O_RDWR);
  const protection = PROT_READ | PROT_WRITE;
  const { address } = kernel.mmap(size, protection, MAP_SHARED, fd, 0n);
  kernel.close(fd);
  return { address, size };
}

async function* measureRead(
  what: string,
  peer: Peer,
  device: VfioDevice,
  rounds: number,
): AsyncGenerator<Comparison> {
  const region = device.region(0);
  const registers = region.map();
  yield await compare(
    { what: `${what}, mapped`, ...READ, warmUp: 2e5, times: 20_000, rounds },
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) registers.read32(0);
      }),
      c: peer.contestant("read"),
    },
  );
  yield await compare(
    { what: `${what}, by pread`, warmUp: 1e5, times: 2000, rounds },
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) region.read32(0);
      }),
      c: peer.contestant("pread"),
    },
  );
}

async function main(program: string, rounds: number): Promise<void> {
  const { devices, backends } = currentMachine()!;
  const addresses = {
    plain: Array.from({ length: 16 }, (_, i) => devices[`bench${i}`]!),
    resettable: devices.nvme0!,
  };
  for (const address of [...addresses.plain, addresses.resettable]) {
    await host.take(address);
  }
  await using peer = new Peer(program);
  for (const backend of backends) {
    const measured = [
      measureAttach(backend, peer, addresses, rounds),
      measureAttached(backend, peer, addresses, rounds),
    ];
    for (const comparisons of measured) {
      for await (const comparison of comparisons) {
        console.log(JSON.stringify(comparison));
      }
    }
  }
}

const [program, rounds] = Deno.args;
await main(program!, Number(rounds));
