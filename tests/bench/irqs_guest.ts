/**
 * The measurements of interrupts in the guest: `irqs_guest.ts PROGRAM ROUNDS`
 * prints a comparison in each line, as JSON.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
  Host,
  type IrqVector,
  VfioDevice,
} from "../../mod.ts";
import { descriptors } from "../vm/guest/observe.ts";
import { addressIn, currentMachine } from "../vm/machine_env.ts";
import {
  compare,
  type Comparison,
  type Contestant,
  percentile,
  timed,
} from "./compare.ts";
import { now } from "./monotonic.ts";
import { Peer } from "./peer.ts";
import { ownTime } from "./processor_time.ts";

const ENABLE = {
  target: 1.1,
  holds: "Each of the two calls goes by way of another thread, as either can " +
    "wait for a reset of the device.",
};
const DELIVERED = {
  target: 3,
  holds: "The thread that waits hands the event to the one that runs " +
    "JavaScript, which has to be woken as well: C wakes one thread.",
};
const TOGETHER = {
  target: 1.1,
  holds: "Opening, closing, and connecting a vector are handed to another " +
    "thread, as each can wait for a reset.",
};

/** How many vectors are waited for at once. */
const COUNTS = [1, 16, 256];
/** How often one of them fires in a round. */
const TIMES = 200;
/** For how long nothing happens, in milliseconds. */
const IDLE = 5000;

const EDU_RAISE = 0x60;
const EDU_ACKNOWLEDGE = 0x64;

const machine = currentMachine()!;
const host = new Host();

/** A device of ours, and one that the C program has: a group has one owner. */
interface Pair {
  readonly device: VfioDevice;
  readonly peer: Peer;
  readonly rounds: number;
}

async function* measureEnabling(
  what: string,
  { device, peer, rounds }: Pair,
): AsyncGenerator<Comparison> {
  const msix = device.irq("msix");
  yield await compare(
    { what: `${what} 32 vectors`, ...ENABLE, warmUp: 20, times: 2, rounds },
    {
      ts: timed(async (times) => {
        for (let i = 0; i < times; i++) {
          await msix.enable(32);
          await msix.disable();
        }
      }),
      c: peer.contestant("vectors", 32),
    },
  );
}

/** Connects and disconnects vectors a thousand times: nothing may be left. */
async function* measureRepetition(
  what: string,
  { device }: Pair,
): AsyncGenerator<Comparison> {
  const msix = device.irq("msix");
  const held = () =>
    [
      descriptors().length,
      Deno.readTextFileSync("/proc/interrupts").split("\n").length,
    ].join(" descriptors and interrupts ");
  const again = async (times: number) => {
    for (let i = 0; i < times; i++) {
      await msix.enable(64);
      await msix.disable();
    }
  };
  await again(10);
  const before = held();
  yield await compare(
    {
      what: `${what} 64 vectors, a thousand times`,
      ...{ warmUp: 0, times: 1000, rounds: 1 },
    },
    { ts: timed(again) },
  );
  if (held() !== before) throw new Error(`${before} became ${held()}`);
}

async function* measureDelivery(
  what: string,
  { device, peer, rounds }: Pair,
): AsyncGenerator<Comparison> {
  for (const count of COUNTS) {
    for (const percent of [50, 99]) {
      yield await compare(
        {
          what: `${what} one of ${count}, p${percent}`,
          ...percent === 50 ? DELIVERED : {},
          ...{ warmUp: 2 * TIMES, times: TIMES, rounds },
        },
        {
          ts: delivered(device, count, percent),
          c: peer.contestant("delivered", count, percent),
        },
      );
    }
  }
}

function delivered(
  device: VfioDevice,
  count: number,
  percent: number,
): Contestant {
  return async (times) => {
    const irq = device.irq("msix");
    const each: number[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let start = 0;
    const next = () => {
      const index = each.length * 7 % count;
      start = now();
      irq.trigger(index);
    };
    for (const vector of await irq.enable(count)) {
      vector.listen(() => {
        each.push(now() - start);
        if (each.length < times) setTimeout(next);
        else resolve();
      });
    }
    next();
    await done;
    await irq.disable();
    return percentile(each, percent) * times;
  };
}

async function* measureIdle(
  what: string,
  { device, rounds }: Pair,
): AsyncGenerator<Comparison> {
  const irq = device.irq("msix");
  const heard: IrqVector[] = [];
  for (const vector of await irq.enable(256)) {
    vector.listen(() => heard.push(vector));
  }
  yield await compare(
    {
      what: `${what} processor time of ${IDLE / 1000} s, 256 vectors idle`,
      ...{ warmUp: 1, times: 1, rounds: Math.min(rounds, 3) },
    },
    {
      ts: async () => {
        const before = ownTime();
        await new Promise((resolve) => setTimeout(resolve, IDLE));
        return ownTime() - before;
      },
    },
  );
  await irq.disable();
}

async function* measureCause(
  what: string,
  { device, peer, rounds }: Pair,
): AsyncGenerator<Comparison> {
  device.setBusMaster(true);
  const registers = device.region(0).map();
  const [vector] = await device.irq("msi").enable();
  yield await compare(
    {
      what: `${what} an interrupt, from its cause to the program`,
      ...{ warmUp: 200, times: 20, rounds },
    },
    {
      ts: timed(async (times) => {
        for (let i = 0; i < times; i++) {
          registers.write32(EDU_RAISE, 1);
          await vector!.next();
          registers.write32(EDU_ACKNOWLEDGE, 1);
        }
      }),
      c: peer.contestant("interrupt"),
    },
  );
}

async function* measureTogether(
  backend: BackendName,
  peer: Peer,
  rounds: number,
): AsyncGenerator<Comparison> {
  const all = Array.from(
    { length: 16 },
    (_, i) => addressIn(machine, `edu${i}`),
  );
  yield await compare(
    {
      what: `${backend}: attach + detach 16 devices, each with an interrupt`,
      ...{ ...TOGETHER, warmUp: 2, times: 1, rounds },
    },
    {
      ts: timed(async () => {
        await using space = new AddressSpace({ backend, host });
        await Promise.all(all.map(async (address) => {
          const device = await VfioDevice.attach(address, space);
          await device.irq("msi").enable();
        }));
      }),
      c: peer.contestant("attach-irqs", backend, ...all),
    },
  );
}

async function* measure(
  backend: BackendName,
  peer: Peer,
  rounds: number,
): AsyncGenerator<Comparison> {
  const pairs = [
    ["nvme0", "nvme1", [
      ["enable + disable", measureEnabling],
      ["enable + disable", measureRepetition],
      ["a vector's firing to the program,", measureDelivery],
      ["", measureIdle],
    ]],
    ["edu0", "edu1", [["", measureCause]]],
  ] as const;
  for (const [own, theirs, measured] of pairs) {
    await peer.ask("open", backend, addressIn(machine, theirs));
    await using space = new AddressSpace({ backend, host });
    const device = await VfioDevice.attach(addressIn(machine, own), space);
    for (const [what, run] of measured) {
      yield* run(`${backend}: ${what}`.trim(), { device, peer, rounds });
    }
    await peer.ask("close");
  }
  yield* measureTogether(backend, peer, rounds);
}

async function main(program: string, rounds: number): Promise<void> {
  for (const address of Object.values(machine.devices)) {
    await host.take(address);
  }
  await using peer = new Peer(program);
  for (const backend of machine.backends) {
    for await (const comparison of measure(backend, peer, rounds)) {
      console.log(JSON.stringify(comparison));
    }
  }
}

const [program, rounds] = Deno.args;
await main(program!, Number(rounds));
