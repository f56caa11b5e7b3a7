import { assertEquals } from "@std/assert";
import {
  type AddressRange,
  difference,
  intersection,
} from "../../lib/ranges.ts";
import { randomNumbers } from "./random.ts";

const SIZE = 64;

/** The addresses below 64 that lie in ranges. */
function addresses(ranges: readonly AddressRange[]): Set<number> {
  const found = new Set<number>();
  for (const { start, last } of ranges) {
    for (let at = start; at <= last; at++) found.add(Number(at));
  }
  return found;
}

function randomRanges(random: (below: number) => number): AddressRange[] {
  const ranges: AddressRange[] = [];
  for (let at = random(8); at < SIZE; at += 1 + random(8)) {
    const start = at;
    at = Math.min(at + random(12), SIZE - 1);
    ranges.push({ start: BigInt(start), last: BigInt(at) });
  }
  return ranges;
}

Deno.test("intersection() and difference() agree with sets of addresses", () => {
  const random = randomNumbers(7);
  for (let round = 0; round < 300; round++) {
    const a = randomRanges(random);
    const b = randomRanges(random);
    const [inA, inB] = [addresses(a), addresses(b)];
    assertEquals(addresses(intersection(a, b)), inA.intersection(inB));
    assertEquals(addresses(difference(a, b)), inA.difference(inB));
  }
});

Deno.test("difference() keeps the ends of the 64 bits", () => {
  const last = (1n << 64n) - 1n;
  assertEquals(difference([{ start: 0n, last }], [{ start: 0n, last: 0n }]), [
    { start: 1n, last },
  ]);
  assertEquals(difference([{ start: 0n, last }], [{ start: last, last }]), [
    { start: 0n, last: last - 1n },
  ]);
  assertEquals(difference([{ start: 0n, last }], [{ start: 0n, last }]), []);
});
