/**
 * Forwards packets between two network cards, and answers to ARP and ping as a
 * host between them.
 *
 *     deno run --allow-ffi examples/packet_forward.ts 0000:01:00.0 \
 *       0000:02:00.0 [--ip 10.0.0.1]
 *
 * The cards are Intel 82574s, such as QEMU's `e1000e`. Ctrl-C ends it.
 *
 * @module
 */
import { parseArgs } from "node:util";
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, Interruption, VfioDevice } from "../mod.ts";
import { NetworkCard } from "./nic/card.ts";
import { Forwarder } from "./nic/forwarder.ts";
import { PacketPool } from "./nic/packets.ts";
import { formatMac, parseIp } from "./nic/replies.ts";

const { values, positionals: addresses } = parseArgs({
  allowPositionals: true,
  options: { ip: { type: "string" } },
});
if (addresses.length !== 2) throw new TypeError("Expected two cards");
const ip = values.ip === undefined ? undefined : parseIp(values.ip);

using interruption = new Interruption();
const { signal } = interruption;
const host = new Host();
await using space = new AddressSpace({ host });
using pool = new PacketPool(space, 2048);
await using owned = new AsyncDisposableStack();

async function start(address: string): Promise<NetworkCard> {
  const taken = owned.use(await host.take(address, { signal }));
  const device = owned.use(await VfioDevice.attach(taken.device, space));
  const options = { promiscuous: true, interrupt: true };
  const card = owned.use(await NetworkCard.start(device, pool, options));
  await card.untilLinkUp();
  console.log(
    `${address}: ${formatMac(card.address)}, ${card.link.speed} Mb/s`,
  );
  return card;
}

const cards = [await start(addresses[0]!), await start(addresses[1]!)] as const;
const forwarder = new Forwarder(cards, ip);
console.log("forwarding");
await forwarder.run(signal);
const { forwarded, answered, dropped } = forwarder.counts;
console.log(`${forwarded} forwarded, ${answered} answered, ${dropped} dropped`);
