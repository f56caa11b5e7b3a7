/**
 * The measurements of NVMe drivers in the guest: `nvme_guest.ts PROGRAM ROUNDS`
 * prints a comparison in each line, as JSON. The kernel's driver and that of
 * `examples/nvme/` have the same controller in turn.
 *
 * @module
 */
import { NvmeController } from "../../examples/nvme/controller.ts";
import { measurePolled } from "../../examples/nvme/measure/load.ts";
import { AddressSpace, Host, VfioDevice } from "../../mod.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { compare, type Contestant } from "./compare.ts";
import { Peer } from "./peer.ts";

const DEPTHS = [1, 32, 256];
const SIZES = [512, 4096];
/** For how long the driver is measured in a round, in seconds. */
const RUNTIME = 0.3;

const host = new Host();
const address = currentMachine()!.devices.nvme0!;

/** The block device that the kernel's driver makes. */
async function blockDevice(): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    for (const { name } of Deno.readDirSync("/sys/block")) {
      if (!/^nvme\d+n1$/.test(name)) continue;
      const target = Deno.realPathSync(`/sys/block/${name}`);
      if (target.includes(`/${address}/`)) return `/dev/${name}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`The kernel's driver makes no block device of ${address}`);
}

function ours(depth: number, bytes: number): Contestant {
  return async (times) => {
    await using taken = await host.take(address);
    await using space = new AddressSpace({ host });
    await using device = await VfioDevice.attach(taken.device, space);
    await using controller = await NvmeController.start(device);
    await using disk = await controller.open(1, { depth });
    const { commands, time } = measurePolled(controller, space, disk, {
      ...{ rw: "randread", bs: bytes, iodepth: depth },
      ...{ runtime: RUNTIME, ramp: RUNTIME },
    });
    return time / commands * times;
  };
}

async function main(program: string, rounds: number): Promise<void> {
  await using peer = new Peer(program);
  for (const bytes of SIZES) {
    for (const depth of DEPTHS) {
      const comparison = await compare(
        {
          what: `random read of ${bytes} bytes, ${depth} at once`,
          target: 1,
          warmUp: 1,
          times: 2000,
          rounds,
        },
        {
          ts: ours(depth, bytes),
          c: async (times) =>
            await peer.ask("aio", times, await blockDevice(), depth, bytes),
        },
      );
      console.log(JSON.stringify(comparison));
    }
  }
}

const [program, rounds] = Deno.args;
await main(program!, Number(rounds));
