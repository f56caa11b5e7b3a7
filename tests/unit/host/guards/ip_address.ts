import { assertEquals } from "@std/assert";
import { isIPv4, isIPv6 } from "node:net";
import {
  ipv4Number,
  ipv4Text,
  ipv6Digits,
  ipv6Text,
} from "../../../../lib/host/guards/ip_address.ts";
import { randomNumbers } from "../../random.ts";

Deno.test("ipv4Number() is the 32 bits of an address", () => {
  assertEquals(ipv4Number("192.168.1.2"), 0xc0a80102);
  assertEquals(ipv4Number("255.255.255.255"), 0xffffffff);
  assertEquals(ipv4Number("1.2.3"), undefined);
  assertEquals(ipv4Number("1.2.3.256"), undefined);
  assertEquals(ipv4Number("01.2.3.4"), undefined);
});

Deno.test("ipv6Digits() is the 32 digits of an address", () => {
  assertEquals(ipv6Digits("::"), "0".repeat(32));
  assertEquals(
    ipv6Digits("FE80::1"),
    "fe80000000000000" + "1".padStart(16, "0"),
  );
  assertEquals(ipv6Digits("::1.2.3.4"), "01020304".padStart(32, "0"));
  assertEquals(ipv6Digits("1::2::3"), undefined);
  assertEquals(ipv6Digits("1:2:3:4:5:6:7:8:9"), undefined);
  assertEquals(ipv6Digits("fe80::1%eth0"), undefined);
});

Deno.test("ipv4Text() and ipv6Text() write what ipv4Number() and ipv6Digits() read", () => {
  assertEquals(ipv4Text(0xc0a80102), "192.168.1.2");
  for (
    const text of [
      "::",
      "::1",
      "1::",
      "2001:db8::1",
      "1:0:0:2::3",
      "fe80::1:0:2:3",
      "1:2:3:4:5:6:7:8",
      "1:0:2:3:4:5:6:7",
    ]
  ) {
    assertEquals(ipv6Text(ipv6Digits(text)!), text);
  }
});

Deno.test("ipv4Number() and ipv6Digits() accept the same addresses as node:net", () => {
  const below = randomNumbers(1);
  const PARTS = ["0", "1", "ff", "fe80", "12345", "g", "", "1.2.3.4", "1.2.3"];
  const SEPARATORS = [":", ":", ":", ":", "::", ":::"];
  const pick = <T>(from: readonly T[]) => from[below(from.length)]!;
  let taken = 0;
  for (let i = 0; i < 20_000; i++) {
    let text = pick(["", "", "::", ":"]);
    const parts = 1 + below(9);
    for (let part = 0; part < parts; part++) {
      if (part > 0) text += pick(SEPARATORS);
      // Mostly parts of an address.
      text += pick(below(8) === 0 ? PARTS : PARTS.slice(0, 4));
    }
    text += pick(["", "", "", "::", ":", ":1.2.3.4"]);
    const digits = ipv6Digits(text);
    assertEquals(digits !== undefined, isIPv6(text), text);
    if (digits !== undefined) {
      taken++;
      assertEquals(digits.length, 32, text);
    }
    const dotted = Array.from(
      { length: 3 + below(3) },
      () => pick(["0", "1", "255", "256", "99", "00", "", "a"].slice(below(3))),
    ).join(".");
    assertEquals(ipv4Number(dotted) !== undefined, isIPv4(dotted), dotted);
  }
  assertEquals(taken > 100, true, `only ${taken} were addresses`);
});
