/**
 * The network card's driver of `examples/nic/` on cards that QEMU emulates. On
 * the other end of a cable is a card of the kernel's driver, which `ping` uses.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { NetworkCard } from "../../../examples/nic/card.ts";
import { Forwarder } from "../../../examples/nic/forwarder.ts";
import { PacketPool } from "../../../examples/nic/packets.ts";
import { answer, parseIp } from "../../../examples/nic/replies.ts";
import { untilPacket } from "../../../examples/nic/waiting.ts";
import { networkInterfaces } from "../../../lib/host/driver/vf_network.ts";
import { addressOf, forEachBackend, host, machine } from "./setup.ts";
import { waitForLine } from "./wait_for_line.ts";

const ROOT = new URL("../../../", import.meta.url);
/** The kernel's address, the bridge's, and that of a host behind it. */
const [KERNEL, BRIDGE, BEHIND] = ["10.0.0.2", "10.0.0.1", "10.0.0.3"];
/** Nobody's. */
const ABSENT = { ip: "10.0.0.9", mac: "52:54:00:00:00:99" };

/** Runs a program of busybox, and returns its output. */
async function run(...command: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("busybox", {
    args: command,
    stderr: "inherit",
  }).output();
  return new TextDecoder().decode(stdout);
}

/** Pings an address by the kernel's driver. */
async function ping(address: string, ...options: string[]): Promise<string> {
  const all = ["-c", "5", "-i", "0.05", "-W", "5", ...options, address];
  return await run("ping", ...all);
}

const ANSWERED = /5 packets transmitted, 5 packets received, 0% packet loss/;

/** Has the kernel's driver use its card. */
async function useKernelsCard(): Promise<void> {
  const [network] = networkInterfaces(host.function(addressOf("peer0")));
  const steps = [
    `ip addr replace ${KERNEL}/24 dev ${network}`,
    `ip link set ${network} up`,
    `arp -s ${ABSENT.ip} ${ABSENT.mac}`,
  ];
  for (const step of steps) await run(...step.split(" "));
}

/** Answers as a host until it is ended. */
async function beHost(card: NetworkCard, signal: AbortSignal): Promise<void> {
  const packets = new Int32Array(16);
  const self = { mac: card.address, ip: parseIp(BEHIND!) };
  while (!signal.aborted) {
    await untilPacket([card], signal).catch((error) => {
      if (!signal.aborted) throw error;
    });
    const count = card.receive(packets);
    for (const packet of packets.subarray(0, count)) {
      const { bytes, lengths } = card.pool;
      const isAnswer = answer(bytes[packet]!, lengths[packet]!, self);
      if (!isAnswer || card.send(Int32Array.of(packet), 1) === 0) {
        card.pool.give(packet);
      }
    }
  }
}

if (machine.devices.nic0 !== undefined) {
  forEachBackend(
    "ping of the kernel's driver reaches a bridge of two cards, and a host behind it",
    async (setup) => {
      const space = setup.space();
      using pool = new PacketPool(space, 1024);
      await using owned = new AsyncDisposableStack();
      const start = async (name: string, promiscuous: boolean) => {
        const device = await setup.attach(name, space);
        const options = { promiscuous, interrupt: true };
        return owned.use(await NetworkCard.start(device, pool, options));
      };
      const cards = [
        await start("nic0", true),
        await start("nic1", true),
      ] as const;
      const last = await start("nic2", false);
      for (const card of [...cards, last]) {
        await card.untilLinkUp();
        assertEquals([card.link.up, card.link.speed], [true, 1000]);
      }
      await useKernelsCard();

      const end = new AbortController();
      const forwarder = new Forwarder(cards, parseIp(BRIDGE!));
      const running = [
        forwarder.run(end.signal),
        beHost(last, end.signal),
      ];
      // Before the cards are stopped, also where an assertion fails.
      owned.defer(async () => {
        end.abort();
        await Promise.all(running);
      });
      assertMatch(await ping(BRIDGE!), ANSWERED);
      assertMatch(await ping(BEHIND!), ANSWERED);
      assertMatch(await ping(BEHIND!, "-s", "1472"), ANSWERED);
      const { forwarded, answered } = forwarder.counts;
      // Both ways; the kernel may know the MAC addresses from before.
      assertEquals([forwarded >= 20, answered >= 5], [true, true]);
      end.abort();
      await Promise.all(running);
      assertEquals(forwarder.turn(), 0);
      assertEquals([cards[0].damaged, cards[1].damaged], [0, 0]);
    },
  );

  forEachBackend(
    "A card receives what its filter lets through",
    async (setup) => {
      const space = setup.space();
      using pool = new PacketPool(space, 512);
      const device = await setup.attach("nic0", space);
      await using card = await NetworkCard.start(device, pool);
      await useKernelsCard();
      const packets = new Int32Array(64);
      /** Whether it receives a packet for an address that nobody has. */
      const receives = async () => {
        await run("ping", "-c", "1", "-W", "1", ABSENT.ip);
        const count = card.receive(packets);
        const numbers = [...packets.subarray(0, count)];
        for (const number of numbers) pool.give(number);
        const hex = ABSENT.mac.replaceAll(":", "");
        return numbers.some((number) =>
          pool.bytes[number]!.subarray(0, 6).toHex() === hex
        );
      };
      assertEquals(await receives(), false);
      card.setFilter({ promiscuous: true });
      assertEquals(await receives(), true);
      const hex = ABSENT.mac.replaceAll(":", "");
      card.setFilter({ addresses: [Uint8Array.fromHex(hex)] });
      assertEquals(await receives(), true);
      card.setFilter({});
      assertEquals(await receives(), false);
      const signal = AbortSignal.timeout(1);
      await assertRejects(() => untilPacket([card], signal));
    },
  );

  Deno.test("packet_forward.ts answers to ping, and gives its cards back at Ctrl-C", async () => {
    await useKernelsCard();
    const script = new URL("examples/packet_forward.ts", ROOT).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-check", "--no-prompt", "--allow-ffi", script],
        ...[addressOf("nic0"), addressOf("nic1"), "--ip", BRIDGE!],
      ],
      stdout: "piped",
    }).spawn();
    await waitForLine(child, "forwarding");
    assertMatch(await ping(BRIDGE!), ANSWERED);
    child.kill("SIGINT");
    assertEquals((await child.status).code, 0);
    for (const name of ["nic0", "nic1"]) {
      assertEquals(host.find(addressOf(name)).driver, "e1000e");
    }
  });
}
