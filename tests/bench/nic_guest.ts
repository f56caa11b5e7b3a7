/**
 * The measurements of network cards' drivers in the guest: `nic_guest.ts ROUNDS`
 * prints a comparison in each line, as JSON. The driver of `examples/nic/` and
 * the kernel's, which `pktgen` uses, send packets from a card each, in turn.
 *
 * @module
 */
import { NetworkCard } from "../../examples/nic/card.ts";
import { PacketPool } from "../../examples/nic/packets.ts";
import { networkInterfaces } from "../../lib/host/driver/vf_network.ts";
import { AddressSpace, Host, VfioDevice } from "../../mod.ts";
import { run } from "../vm/command.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { compare, type Contestant, timed } from "./compare.ts";

const BATCHES = [1, 32, 256];
/** Slots of both rings: a batch fits in. */
const ENTRIES = 512;
/** Bytes of a packet without its checksum: 64 with it. */
const BYTES = 60;
/** Packets in a round. */
const TIMES = 20_480;

const host = new Host();
const { devices } = currentMachine()!;

/** Sends packets in batches, from memory that is filled once. */
class Sender {
  readonly #card: NetworkCard;
  readonly #packets: Int32Array;

  constructor(card: NetworkCard, batch: number) {
    this.#card = card;
    this.#packets = new Int32Array(batch);
  }

  /** Sends so many, and waits until all are sent. */
  run(times: number): void {
    const card = this.#card;
    const packets = this.#packets;
    const { pool } = card;
    const all = pool.free;
    for (let done = 0; done < times;) {
      let count = 0;
      while (count < packets.length) packets[count++] = pool.take();
      const sent = card.send(packets, count);
      done += sent;
      for (let i = sent; i < count; i++) pool.give(packets[i]!);
    }
    while (pool.free < all) card.reclaim();
  }
}

/** Fills every packet that can be taken: to nobody, from the card. */
function fill(card: NetworkCard): void {
  const { pool } = card;
  const taken = Array.from({ length: pool.free }, () => pool.take());
  for (const packet of taken) {
    pool.bytes[packet]!.fill(0, 0, BYTES);
    pool.bytes[packet]!.set([0x52, 0x54, 0, 0, 0, 0x99]);
    pool.bytes[packet]!.set(card.address, 6);
    pool.lengths[packet] = BYTES;
    pool.give(packet);
  }
}

/** Has the kernel's driver start its card, with as many slots. */
async function startKernelsCard(): Promise<string> {
  const [network] = networkInterfaces(host.function(devices.kernel0!));
  await run(["modprobe", "pktgen"]);
  await run(["ethtool", "-G", network!, "tx", `${ENTRIES}`]);
  await run(["ip", "link", "set", network!, "up"]);
  const carrier = `/sys/class/net/${network}/carrier`;
  while (Deno.readTextFileSync(carrier).trim() !== "1") {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return network!;
}

/** Sends by `pktgen`: one doorbell for a batch, and one packet again and again. */
function pktgen(network: string, batch: number): Contestant {
  const write = (file: string, ...texts: readonly string[]) => {
    for (const text of texts) {
      Deno.writeTextFileSync(`/proc/net/pktgen/${file}`, `${text}\n`);
    }
  };
  return async (times) => {
    write("kpktgend_0", "rem_device_all", `add_device ${network}`);
    write(
      network,
      `count ${times}`,
      `pkt_size ${BYTES}`,
      `burst ${batch}`,
      "clone_skb 1000000",
      "delay 0",
      "dst 10.0.0.9",
      "dst_mac 52:54:00:00:00:99",
    );
    await Deno.writeTextFile("/proc/net/pktgen/pgctrl", "start\n");
    const text = Deno.readTextFileSync(`/proc/net/pktgen/${network}`);
    const result = /Result: OK: (\d+)\(.*\) usec, (\d+) /.exec(text);
    if (result === null) throw new Error(`pktgen failed: ${text}`);
    // A last batch is sent whole.
    return Number(result[1]) * 1000 * times / Number(result[2]);
  };
}

async function main(rounds: number): Promise<void> {
  const network = await startKernelsCard();
  await using taken = await host.take(devices.nic0!);
  await using space = new AddressSpace({ host });
  await using device = await VfioDevice.attach(taken.device, space);
  using pool = new PacketPool(space, 4 * ENTRIES);
  const options = { entries: ENTRIES };
  await using card = await NetworkCard.start(device, pool, options);
  await card.untilLinkUp();
  fill(card);
  for (const batch of BATCHES) {
    const sender = new Sender(card, batch);
    const comparison = await compare(
      {
        what: `64 bytes, ${batch} at once`,
        target: 1,
        warmUp: 2 * TIMES,
        times: TIMES,
        rounds,
      },
      {
        ts: timed((times) => sender.run(times)),
        c: pktgen(network, batch),
      },
    );
    console.log(JSON.stringify(comparison));
  }
}

await main(Number(Deno.args[0]));
