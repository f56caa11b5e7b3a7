/** The network card's driver with a card that fails, or answers nonsense. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { NicError } from "../../../examples/nic/error.ts";
import { Forwarder } from "../../../examples/nic/forwarder.ts";
import { untilPacket } from "../../../examples/nic/waiting.ts";
import type { E1000eFaults } from "../../../lib/sim/mod.ts";
import { VfioError } from "../../../mod.ts";
import { randomNumbers } from "../random.ts";
import { mac, MACS, NicSetup, packet, PACKETS, PING } from "./setup.ts";

for (const interrupt of [false, true]) {
  Deno.test(`A surprise removal ends all waits for packets, ${interrupt ? "by interrupt" : "by looking"}`, async () => {
    const faults: E1000eFaults = {};
    await using setup = await NicSetup.attach(faults);
    const options = { interrupt, promiscuous: true };
    await using one = await setup.start(0, options);
    await using other = await setup.start(1, options);
    const forwarder = new Forwarder([one, other]);
    const waits = [
      untilPacket([one]),
      untilPacket([other, one]),
      forwarder.run(new AbortController().signal),
    ].map((wait) => assertRejects(() => wait, VfioError));
    await new Promise((resolve) => setTimeout(resolve, 10));
    const start = performance.now();
    faults.removed = true;
    for (const { code, device } of await Promise.all(waits)) {
      assertEquals([code, device], ["DEVICE_LOST", "0000:01:00.0"]);
    }
    assert(performance.now() - start < 300, `${performance.now() - start}`);
    // It is not used any more, and can be stopped.
    assertEquals(forwarder.turn(), 0);
  });
}

Deno.test("NetworkCard.start() throws when the card is gone, or not ready", async () => {
  const faults: E1000eFaults = { removed: true };
  await using setup = await NicSetup.attach(faults);
  const lost = await assertRejects(() => setup.start(0), VfioError);
  assertEquals(lost.code, "DEVICE_LOST");
  faults.removed = false;
  await using card = await setup.start(0);
  assertEquals(card.link.up, true);
});

Deno.test("A damaged packet is dropped, and one longer than its memory is an error", async () => {
  const faults: E1000eFaults = {};
  await using setup = await NicSetup.attach(faults);
  await using card = await setup.start(0);
  const send = () => setup.peers[0].send(packet(MACS[0], mac(9)));
  const changes = [
    (words: Uint32Array) => words[3]! |= 0x100,
    (words: Uint32Array) => words[3] = 1,
    (words: Uint32Array) => words[2] = 0,
  ];
  for (const change of changes) {
    faults.onDescriptor = change;
    send();
  }
  delete faults.onDescriptor;
  send();
  const into = new Int32Array(8);
  assertEquals([card.receive(into), card.damaged], [1, 3]);
  setup.pool.give(into[0]!);
  faults.onDescriptor = (words) => words[2] = 0xffff;
  send();
  const error = await assertRejects(
    () => Promise.resolve().then(() => card.receive(into)),
    NicError,
  );
  assertEquals(error.code, "PROTOCOL");
  assertEquals(setup.pool.free, PACKETS - 32);
});

Deno.test("A ping that is longer than what can be sent is dropped", async () => {
  const faults: E1000eFaults = {};
  await using setup = await NicSetup.attach(faults);
  await using one = await setup.start(0, { promiscuous: true });
  await using other = await setup.start(1, { promiscuous: true });
  const forwarder = new Forwarder([one, other], Uint8Array.of(10, 0, 0, 1));
  faults.onDescriptor = (words) => words[2] = 2000;
  setup.peers[0].send(PING);
  setup.peers[0].send(packet(mac(3), mac(9)));
  assertEquals(forwarder.turn(), 2);
  assertEquals(forwarder.counts, { forwarded: 0, answered: 0, dropped: 2 });
});

Deno.test("An interrupt without a packet does not end a wait", async () => {
  await using setup = await NicSetup.attach();
  await using card = await setup.start(0, { interrupt: true });
  let isThere = false;
  const wait = untilPacket([card]).then(() => isThere = true);
  setup.devices[0].irq("msix").trigger();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(isThere, false);
  setup.peers[0].send(packet(MACS[0], mac(9)));
  await wait;
});

Deno.test("A card that answers nonsense leads to typed errors only, and loses no packet", async () => {
  const codes = new Set<string>();
  for (let seed = 1; seed <= 30; seed++) {
    const random = randomNumbers(seed);
    const word = () => (random(2 ** 16) << 16 | random(2 ** 16)) >>> 0;
    const faults: E1000eFaults = {
      onDescriptor: (words) => {
        if (random(6) === 0) words[random(4)] = word();
      },
      onRead: (_, value) => random(40) > 0 ? value : word(),
    };
    await using setup = await NicSetup.attach(faults);
    try {
      const options = { promiscuous: true, interrupt: seed % 2 === 0 };
      await using one = await setup.start(0, options);
      await using other = await setup.start(1, options);
      const forwarder = new Forwarder([one, other], Uint8Array.of(10, 0, 0, 1));
      for (let i = 0; i < 200; i++) {
        const which = random(2) as 0 | 1;
        const length = 14 + random(1500);
        setup.peers[which].send(packet(mac(random(4)), mac(9), length));
        if (random(3) === 0) forwarder.turn();
        if (random(20) === 0) one.check();
      }
    } catch (error) {
      const isTyped = error instanceof NicError || error instanceof VfioError;
      assert(isTyped, `seed ${seed}: ${(error as Error).stack}`);
      codes.add(error.code);
    }
    assertEquals(setup.pool.free, PACKETS, `seed ${seed}`);
  }
  assert(codes.has("PROTOCOL"), [...codes].join());
});
