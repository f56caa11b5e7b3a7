import { assertEquals } from "@std/assert";
import { parsePostedConfigs } from "../../../lib/pci/config/lspci_text.ts";

const ROW = "00: 86 80 d3 10 00 00 10 00 00 00 00 02 00 00 00 00";

Deno.test("parsePostedConfigs() reads functions, with and without a domain", () => {
  const found = parsePostedConfigs(
    `01:00.0 Ethernet controller: one\n${ROW}\n10: ff\n\n` +
      `10000:E1:00.0 other\r\n${ROW.toUpperCase()}\r\n`,
  );
  assertEquals(
    found.map(({ address, title, bytes }) => [address, title, bytes.length]),
    [
      ["0000:01:00.0", "Ethernet controller: one", 17],
      ["10000:e1:00.0", "other", 16],
    ],
  );
});

Deno.test("parsePostedConfigs() passes over other lines, and leaves out functions without bytes", () => {
  const found = parsePostedConfigs(
    `00:1f.0 ISA bridge\n\n> 01:00.0 x\n>\tKernel driver in use: e1000e\n` +
      `> ${ROW}\n`,
  );
  assertEquals(found.map(({ address }) => address), ["0000:01:00.0"]);
});

Deno.test("parsePostedConfigs() stops at a gap", () => {
  const [only] = parsePostedConfigs(`01:00.0 x\n${ROW}\n20: 01\n30: 02\n`);
  assertEquals(only!.bytes.length, 16);
});

Deno.test("parsePostedConfigs() reads bytes when no line names their function", () => {
  const found = parsePostedConfigs(`${ROW}\n${ROW}\n`);
  assertEquals(found.map(({ address }) => address), [undefined, undefined]);
});
