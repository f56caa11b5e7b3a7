/**
 * What is measured in the guest: `guest.ts PROGRAM ROUNDS` prints a comparison
 * a line, as JSON.
 *
 * The functions are QEMU's `pci-testdev`, which have nothing that resets them:
 * an attach is then quick, and what the library adds to it shows.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
  type DmaMemory,
  Host,
  VfioDevice,
} from "../../mod.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { compare, type Comparison, type Contestant, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

/** What is mapped: its name and bytes, how often in a round and before. */
const SIZES = [
  ["4 KiB", 2 ** 12, 50, 20_000],
  ["2 MiB", 2 ** 21, 5, 500],
] as const;

const ATTACH = {
  target: 1.1,
  holds: "",
};
const MAP = {
  target: 1.3,
  holds: "",
};
const READ = {
  target: 1.5,
  holds: "",
};

const host = new Host();

async function* measureAttach(
  backend: BackendName,
  peer: Peer,
  addresses: readonly string[],
  rounds: number,
): AsyncGenerator<Comparison> {
  const what = `${backend}: attach + detach`;
  const [first] = addresses;
  yield await compare(
    { what: `${what}, 1 device`, ...ATTACH, warmUp: 100, times: 1, rounds },
    {
      ts: attaching(backend, [first!]),
      c: peer.contestant("attach", backend, first!),
    },
  );
  const ts = attaching(backend, addresses);
  const few = { times: 1, rounds: Math.ceil(rounds / 3) };
  yield await compare(
    { what: `${what}, 16 at once`, ...ATTACH, warmUp: 2, ...few },
    { ts, c: peer.contestant("attach", backend, ...addresses) },
  );
  yield await compare(
    { what: `${what}, 16 at once, C in threads`, warmUp: 0, ...few },
    { ts, c: peer.contestant("attach-threads", backend, ...addresses) },
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

// C has a device of its own meanwhile, since a group has one owner.
async function* measureAttached(
  backend: BackendName,
  peer: Peer,
  [itsAddress, address]: readonly string[],
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
  // Without a device, allocating is all that it does.
  await using store = new AddressSpace({ host });
  const mapping = (memory: DmaMemory) =>
    timed((times) => {
      for (let i = 0; i < times; i++) space.map(memory).unmap();
    });
  for (const [size, bytes, times, warmUp] of SIZES) {
    yield await compare(
      { what: `${what}, ${size}`, ...MAP, warmUp, times, rounds },
      {
        ts: (times) => {
          // Anew each round, as C does: how pages lie decides what they cost.
          using memory = store.allocate(bytes);
          memory.bytes.fill(1);
          return mapping(memory)(times);
        },
        c: peer.contestant("map", bytes),
      },
    );
  }
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
    { what: `${what}, mapped`, ...READ, warmUp: 2e5, times: 5000, rounds },
    {
      ts: timed((times) => {
        for (let i = 0; i < times; i++) registers.read32(0);
      }),
      c: peer.contestant("read"),
    },
  );
  yield await compare(
    { what: `${what}, by pread`, warmUp: 2e4, times: 500, rounds },
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
  const addresses = Array.from(
    { length: 16 },
    (_, i) => devices[`bench${i}`]!,
  );
  await Promise.all(addresses.map((address) => host.take(address)));
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
