/**
 * The measurements of NVMe drivers in the guest:
 * `nvme_guest.ts ROUNDS [LIBVFN]` prints a comparison in each line, as JSON.
 * The driver of `examples/nvme/`, libvfn where its `perf` is at LIBVFN, and the
 * kernel's driver have the same controller in turn.
 *
 * @module
 */
import { NvmeController } from "../../examples/nvme/controller.ts";
import { measurePolled } from "../../examples/nvme/measure/load.ts";
import { AddressSpace, Host, VfioDevice } from "../../mod.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { whileBusy } from "./busy_time.ts";
import type { Comparison } from "./compare.ts";
import {
  type Cost,
  ENGINES,
  readByFio,
  readByLibvfn,
  type Reads,
} from "./nvme_peers.ts";

const DEPTHS = [1, 32, 256];
const SIZES = [512, 4096];
/** For how long the driver is measured in a round, in seconds. */
const RUNTIME = 0.5;
const LIBVFN = "libvfn";

const host = new Host();

async function readByOurs({ address, bytes, depth }: Reads): Promise<Cost> {
  await using space = new AddressSpace({ host });
  await using device = await VfioDevice.attach(address, space);
  await using controller = await NvmeController.start(device);
  await using disk = await controller.open(1, { depth });
  const [{ commands, time }, busy] = await whileBusy(() =>
    measurePolled(controller, space, disk, {
      ...{ rw: "randread", bs: bytes, iodepth: depth },
      ...{ runtime: RUNTIME, ramp: RUNTIME },
    })
  );
  return { time: time / commands, processor: time / commands * busy };
}

/** Has each driver read, and returns what a read takes by it. */
async function round(
  reads: Reads,
  libvfn: string | undefined,
): Promise<{ readonly ours: Cost; readonly peers: Map<string, Cost> }> {
  const peers = new Map<string, Cost>();
  let ours: Cost;
  {
    await using _taken = await host.take(reads.address);
    ours = await readByOurs(reads);
    if (libvfn !== undefined) {
      peers.set(LIBVFN, await readByLibvfn(libvfn, reads));
    }
  }
  for (const engine of Object.keys(ENGINES)) {
    peers.set(`fio ${engine}`, await readByFio(engine, reads));
  }
  return { ours, peers };
}

/** libvfn is to be reached; one at a time has the time of one trap more. */
function targetOf(peer: string, depth: number): number {
  return peer === LIBVFN && depth === 1 ? 1 / 0.9 : 1;
}

async function main(rounds: number, libvfn?: string): Promise<void> {
  const { devices } = currentMachine()!;
  // For the compilers.
  await round({ address: devices.nvme512!, bytes: 512, depth: 32 }, libvfn);
  for (const bytes of SIZES) {
    const address = devices[`nvme${bytes}`]!;
    for (const depth of DEPTHS) {
      const reads = { address, bytes, depth };
      const all = [];
      for (let i = 0; i < rounds; i++) all.push(await round(reads, libvfn));
      for (const aspect of ["time", "processor"] as const) {
        for (const peer of all[0]!.peers.keys()) {
          const comparison: Comparison = {
            what: `${bytes} bytes, ${depth} at once`,
            peer,
            target: targetOf(peer, depth),
            times: 1,
            c: all.map(({ peers }) => peers.get(peer)![aspect]),
            ts: all.map(({ ours }) => ours[aspect]),
          };
          console.log(JSON.stringify({ aspect, ...comparison }));
        }
      }
    }
  }
}

const [rounds, libvfn] = Deno.args;
await main(Number(rounds), libvfn);
