/** Packets between two cards, and the answers to ARP and to ping. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Forwarder } from "../../../examples/nic/forwarder.ts";
import { answer, formatMac, parseIp } from "../../../examples/nic/replies.ts";
import { randomNumbers } from "../random.ts";
import { mac, MACS, NicSetup, packet, PACKETS, PING } from "./setup.ts";

const OURS = parseIp("10.0.0.1");
const THEIRS = mac(9);

/** `10.0.0.2` asks for `10.0.0.1`. */
const WHO_HAS = Uint8Array.fromHex(
  "ffffffffffff5254000000090806" +
    "0001080006040001" + "5254000000090a000002" + "0000000000000a000001" +
    "00".repeat(18),
);

/** Whether the Internet checksum of bytes is right. */
function isRight(bytes: Uint8Array): boolean {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum === 0xffff;
}

Deno.test("answer() says to ARP where we are", () => {
  const frame = WHO_HAS.slice();
  assertEquals(answer(frame, frame.length, { mac: MACS[0], ip: OURS }), true);
  assertEquals(
    frame.toHex(),
    "525400000009525400000001" + "0806" + "0001080006040002" +
      "5254000000010a000001" + "5254000000090a000002" + "00".repeat(18),
  );
});

Deno.test("answer() sends a ping back with right checksums", () => {
  assert(isRight(PING.subarray(14, 34)));
  assert(isRight(PING.subarray(34)));
  const frame = PING.slice();
  assertEquals(answer(frame, frame.length, { mac: MACS[0], ip: OURS }), true);
  assertEquals(frame.subarray(0, 12).toHex(), "525400000009525400000001");
  assertEquals(frame.subarray(26, 36).toHex(), "0a0000010a0000020000");
  assertEquals(frame[22], 64);
  assert(isRight(frame.subarray(14, 34)));
  assert(isRight(frame.subarray(34)));
  assertEquals(frame.subarray(38), PING.subarray(38));
});

Deno.test("answer() leaves what is no question for us as it is", () => {
  const self = { mac: MACS[0], ip: OURS };
  const changed = (bytes: Uint8Array, at: number, value: number) =>
    bytes.with(at, value);
  const others = [
    packet(MACS[0], THEIRS),
    changed(WHO_HAS, 41, 2),
    changed(WHO_HAS, 21, 2),
    changed(WHO_HAS, 18, 8),
    WHO_HAS.slice(0, 41),
    changed(PING, 33, 3),
    changed(PING, 5, 3),
    changed(PING, 14, 0x65),
    changed(PING, 14, 0x44),
    changed(PING, 14, 0x4f),
    changed(PING, 17, 0x25),
    changed(PING, 17, 27),
    changed(PING, 20, 0x20),
    changed(PING, 21, 1),
    changed(PING, 23, 17),
    changed(PING, 34, 0),
    changed(PING, 35, 1),
    PING.slice(0, 33),
  ];
  for (const [i, frame] of others.entries()) {
    const padded = new Uint8Array(2048);
    padded.set(frame);
    assertEquals(answer(padded, frame.length, self), false, `${i}`);
    assertEquals(padded.subarray(0, frame.length), new Uint8Array(frame));
  }
});

Deno.test("answer() changes nothing behind a frame, whatever is in it", () => {
  const random = randomNumbers(1);
  const self = { mac: MACS[0], ip: OURS };
  for (let times = 0; times < 5000; times++) {
    const frame = new Uint8Array(256).fill(0xee);
    frame.set(random(2) > 0 ? PING : WHO_HAS);
    for (let i = random(4); i > 0; i--) frame[random(60)] = random(256);
    const length = 14 + random(60);
    answer(frame, length, self);
    assert(frame.subarray(60).every((byte) => byte === 0xee));
  }
});

Deno.test("Forwarder passes packets on in their memory, and answers for itself", async () => {
  await using setup = await NicSetup.attach();
  const options = { promiscuous: true };
  await using one = await setup.start(0, options);
  await using other = await setup.start(1, options);
  const forwarder = new Forwarder([one, other], OURS);
  const [left, right] = setup.peers;
  const there = [packet(mac(8), THEIRS, 1518), packet(mac(7), THEIRS, 14)];
  for (const each of there) left.send(each);
  right.send(packet(THEIRS, mac(8)));
  assertEquals(forwarder.turn(), 3);
  assertEquals(right.packets.splice(0), there);
  assertEquals(left.packets.splice(0), [packet(THEIRS, mac(8))]);

  left.send(WHO_HAS);
  right.send(WHO_HAS);
  left.send(PING);
  // For the card, and no question.
  left.send(packet(MACS[0], THEIRS));
  forwarder.turn();
  const senders = ({ packets }: typeof left) =>
    packets.splice(0).map((each) => formatMac(each.subarray(6, 12)));
  assertEquals(senders(left), Array(2).fill(formatMac(MACS[0])));
  assertEquals(senders(right), [formatMac(MACS[1])]);
  assertEquals(forwarder.counts, { forwarded: 3, answered: 3, dropped: 1 });

  for (let i = 0; i < 500; i++) {
    left.send(packet(mac(8), mac(i)));
    if (i % 7 === 0) forwarder.turn();
  }
  forwarder.turn();
  assertEquals(right.packets.map((each) => each[11]).length, 500);
  forwarder.turn();
  assertEquals(setup.pool.free, PACKETS - 64);
  assertEquals(setup.blocked, []);
});

Deno.test("parseIp() takes four numbers", () => {
  assertEquals(parseIp("192.168.255.1"), Uint8Array.of(192, 168, 255, 1));
  for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d"]) {
    assertThrows(() => parseIp(text), TypeError);
  }
});
