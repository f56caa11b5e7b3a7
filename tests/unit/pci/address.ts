import { assertEquals, assertThrows } from "@std/assert";
import {
  comparePciAddresses,
  formatPciAddress,
  parsePciAddress,
} from "../../../lib/pci/address.ts";

Deno.test("parsePciAddress() reads every part", () => {
  assertEquals(parsePciAddress("abcd:ef:1f.7"), {
    domain: 0xabcd,
    bus: 0xef,
    slot: 0x1f,
    function: 7,
  });
});

Deno.test("parsePciAddress() assumes domain 0 when there is none", () => {
  assertEquals(parsePciAddress("01:00.0"), parsePciAddress("0000:01:00.0"));
});

Deno.test("parsePciAddress() reads a domain of more than four digits", () => {
  assertEquals(parsePciAddress("10000:e1:00.0").domain, 0x10000);
});

for (
  const text of [
    "",
    "0",
    "01:00",
    "01:00.8",
    "01:20.0",
    "1:0.0",
    "000:01:00.0",
    "0000:01:00.0 ",
    "0000:01:00.0\n",
    "0000:01:00.00",
    "g000:01:00.0",
    "123456789:01:00.0",
    "../0000:01:00.0",
  ]
) {
  Deno.test(`parsePciAddress() throws when the text is ${JSON.stringify(text)}`, () => {
    assertThrows(() => parsePciAddress(text), TypeError, JSON.stringify(text));
  });
}

Deno.test("parsePciAddress() throws when the argument is not a string", () => {
  assertThrows(() => parsePciAddress(7 as unknown as string), TypeError);
  assertThrows(
    () => parsePciAddress(undefined as unknown as string),
    TypeError,
  );
});

Deno.test("formatPciAddress() writes an address that parsePciAddress() reads", () => {
  for (const text of ["0000:01:00.0", "abcd:ef:1f.7", "10000:e1:00.0"]) {
    assertEquals(formatPciAddress(parsePciAddress(text)), text);
  }
  assertEquals(formatPciAddress(parsePciAddress("0A:1F.1")), "0000:0a:1f.1");
});

Deno.test("comparePciAddresses() puts longer domains last", () => {
  const sorted = [
    "0000:00:01.0",
    "0000:00:01.1",
    "0000:0a:00.0",
    "0001:00:00.0",
    "10000:00:00.0",
  ];
  assertEquals(sorted.toReversed().sort(comparePciAddresses), sorted);
});
