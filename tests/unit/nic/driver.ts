/** The network card's driver on simulated cards. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { NetworkCard } from "../../../examples/nic/card.ts";
import { NicError } from "../../../examples/nic/error.ts";
import { untilPacket } from "../../../examples/nic/waiting.ts";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { mac, MACS, NicSetup, packet, PACKETS } from "./setup.ts";

const OTHER = mac(9);
const EVERYBODY = new Uint8Array(6).fill(0xff);

/** Takes what a card has received, and gives the packets back. */
function received(card: NetworkCard, most = 64): Uint8Array[] {
  const numbers = new Int32Array(most);
  const count = card.receive(numbers);
  return [...numbers.subarray(0, count)].map((number) => {
    const { bytes, lengths } = card.pool;
    card.pool.give(number);
    return bytes[number]!.slice(0, lengths[number]);
  });
}

/** Sends packets, and returns how many there was room for. */
function send(card: NetworkCard, packets: readonly Uint8Array[]): number {
  const { pool } = card;
  const numbers = Int32Array.from(packets, (packet) => {
    const number = pool.take();
    pool.bytes[number]!.set(packet);
    pool.lengths[number] = packet.length;
    return number;
  });
  const sent = card.send(numbers, numbers.length);
  for (const number of numbers.subarray(sent)) pool.give(number);
  return sent;
}

Deno.test("A card receives and sends packets of any length, around its rings", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0);
  const [peer] = setup.peers;
  assertEquals([card.address, card.link], [MACS[0], {
    ...{ up: true, speed: 1000, fullDuplex: true },
  }]);
  for (let length = 14; length <= 1518; length += 31) {
    const there = packet(OTHER, MACS[0], length);
    assertEquals(send(card, [there, there]), 2);
    assertEquals(peer.packets.splice(0), [there, there]);
    const back = packet(MACS[0], OTHER, length);
    peer.send(back);
    peer.send(back);
    assertEquals(received(card), [back, back]);
  }
  card.reclaim();
  assertEquals(setup.pool.free, PACKETS - 32);
  assertEquals(setup.blocked, []);
});

Deno.test("A card drops what it has no slot for, and goes on", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0);
  const [peer] = setup.peers;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 40; i++) peer.send(packet(MACS[0], mac(i)));
    const packets = [...received(card, 7), ...received(card)];
    // It knows of the slots that are free after every sixteenth only.
    assert(packets.length >= 31 - 15, `${packets.length}`);
    for (const [i, each] of packets.entries()) assertEquals(each[11], i);
  }
});

Deno.test("receive() leaves packets in the ring while the pool is empty", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0);
  const held: number[] = [];
  while (setup.pool.free > 1) held.push(setup.pool.take());
  for (let i = 0; i < 3; i++) setup.peers[0].send(packet(MACS[0], mac(i)));
  const into = new Int32Array(8);
  assertEquals([card.receive(into), card.receive(into)], [1, 0]);
  for (const number of [into[0]!, ...held]) setup.pool.give(number);
  assertEquals(received(card).map((each) => each[11]), [1, 2]);
});

Deno.test("A card receives what its filter lets through", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0);
  const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 1);
  const targets = { MACS: MACS[0], EVERYBODY, OTHER, group };
  const seen = () => {
    for (const to of Object.values(targets)) {
      setup.peers[0].send(packet(to, mac(7)));
    }
    return received(card).map((bytes) =>
      Object.entries(targets).find(([, to]) =>
        to.every((byte, i) => byte === bytes[i])
      )![0]
    );
  };
  assertEquals(seen(), ["MACS", "EVERYBODY"]);
  card.setFilter({ addresses: [mac(8), OTHER] });
  assertEquals(seen(), ["MACS", "EVERYBODY", "OTHER"]);
  card.setFilter({ multicast: true });
  assertEquals(seen(), ["MACS", "EVERYBODY", "group"]);
  card.setFilter({ promiscuous: true });
  assertEquals(seen(), ["MACS", "EVERYBODY", "OTHER", "group"]);
  card.setFilter({});
  assertEquals(seen(), ["MACS", "EVERYBODY"]);
  const many = Array.from({ length: 16 }, (_, i) => mac(i));
  assertThrows(() => card.setFilter({ addresses: many }), RangeError);
});

for (const interrupt of [false, true]) {
  Deno.test(`untilPacket() resolves for a packet, ${interrupt ? "by interrupt" : "by looking"}`, async () => {
    await using setup = await NicSetup.attach();
    await using one = await setup.start(0, { interrupt });
    await using other = await setup.start(1, { interrupt });
    for (let round = 0; round < 5; round++) {
      const which = round % 2 as 0 | 1;
      let isThere = false;
      const wait = untilPacket([one, other]).then(() => isThere = true);
      await new Promise((resolve) => setTimeout(resolve, 5));
      assertEquals(isThere, false);
      setup.peers[which].send(packet(MACS[which], OTHER));
      await wait;
      assertEquals(received([one, other][which]!).length, 1);
    }
    // One that came before.
    setup.peers[0].send(packet(MACS[0], OTHER));
    await untilPacket([one, other]);
    received(one);
    const end = new AbortController();
    const wait = assertRejects(() => untilPacket([one], end.signal));
    end.abort(new Error("enough"));
    assertEquals((await wait as Error).message, "enough");
  });
}

Deno.test("send() refuses a packet that is too short or too long", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0);
  for (const length of [0, 13, 1519, 2048]) {
    assertThrows(
      () => send(card, [packet(OTHER, MACS[0]), new Uint8Array(length)]),
      RangeError,
    );
  }
  assertThrows(() => card.send(Int32Array.of(PACKETS), 1), RangeError);
  assertEquals(setup.peers[0].packets, []);
});

Deno.test("A card that was stopped has given its packets back", async () => {
  await using setup = await NicSetup.attach();
  const card = await setup.start(0, { interrupt: true });
  send(card, [packet(OTHER, MACS[0])]);
  const wait = assertRejects(() => untilPacket([card]), NicError);
  await card[Symbol.asyncDispose]();
  assertEquals((await wait).code, "CLOSED");
  assertEquals(setup.pool.free, PACKETS);
  assertEquals(assertThrows(() => card.link, NicError).code, "CLOSED");
  await using again = await setup.start(0);
  setup.peers[0].send(packet(MACS[0], OTHER));
  assertEquals(received(again).length, 1);
});

Deno.test("NetworkCard.start() refuses other cards and odd rings", async () => {
  await using setup = await NicSetup.attach();
  const [device] = setup.devices;
  for (const entries of [0, 4, 12, 8192, NaN]) {
    await assertRejects(
      () => NetworkCard.start(device, setup.pool, { entries }),
      RangeError,
    );
  }
  await assertRejects(() => setup.start(0, { entries: 512 }), RangeError);
  assertEquals(setup.pool.free, PACKETS);
  const host = simulate({ functions: { "0000:01:00.0": { model: "edu" } } });
  await using space = new AddressSpace({ host });
  await using taken = await host.take("0000:01:00.0");
  await using edu = await VfioDevice.attach(taken.device, space);
  const error = await assertRejects(
    () => NetworkCard.start(edu, setup.pool),
    NicError,
  );
  assertEquals(error.code, "UNSUPPORTED");
});
