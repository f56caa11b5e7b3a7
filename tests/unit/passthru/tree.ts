import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { writeTree } from "../../../scripts/passthru/output/tree.ts";
import { MACHINE, NIC, treeOf, UNNAMED } from "./machine.ts";

function text(topology: Topology, width = Infinity, colour = false): string {
  let written = "";
  writeTree({
    write: (part) => written += part,
    warn() {},
    progress() {},
    command: () => Promise.resolve([]),
    read: () => Promise.resolve(""),
    readable: () => Promise.resolve(new ReadableStream()),
    writable: () => Promise.resolve(new WritableStream()),
    save: () => Promise.resolve(),
    width,
    errorWidth: width,
    colour,
    isTerminal: colour,
    signal: AbortSignal.any([]),
  }, treeOf(topology));
  return written;
}

Deno.test("writeTree() draws bridges with what is behind them, and virtual functions under their physical one", () => {
  const lines = text(MACHINE).split("\n");
  assertEquals(
    lines.slice(1, 12).map((line) => line.replace(/(?<=\.\d).*/, "")),
    [
      "0000:00",
      "├─ 0000:00:01.0",
      "│  ├─ 0000:01:00.0",
      "│  │  ├─ 0000:01:10.0",
      "│  │  ├─ 0000:01:10.2",
      "│  │  └─ 0000:01:10.4",
      "│  ├─ 0000:02:00.0",
      "│  └─ 0000:02:00.1",
      "└─ 0000:00:1f.0",
      "0000:80 on node 1",
      "└─ 0000:80:01.0",
    ],
  );
  assertMatch(lines[4]!, /0000:01:10\.0 +\d+ +igbvf +Ethernet/);
  assertMatch(lines[9]!, /0000:00:1f\.0 +- +- +Ethernet/);
});

Deno.test("writeTree() says below the table why a group is shared", () => {
  assertMatch(
    text(MACHINE),
    /\n\ngroup \d+ is shared: slot 0000:02:00 has no ACS\n$/,
  );
  assertEquals(
    text({ functions: { "0000:00:03.0": NIC } }).includes("shared"),
    false,
  );
});

Deno.test("writeTree() keeps its table within the terminal's width", () => {
  const [table = ""] = text(MACHINE, 70).split("\n\n");
  const widths = table.split("\n").map((line) => line.length);
  assertEquals(Math.max(...widths), 70);
});

Deno.test("writeTree() writes colours only when the terminal has them", () => {
  assertEquals(text(MACHINE).includes("\x1b"), false);
  assertStringIncludes(text(MACHINE, 80, true), "\x1b[32mvfio-pci");
});

Deno.test("writeTree() shows the id of a function that pci.ids does not have", () => {
  const shown = text(UNNAMED);
  assertStringIncludes(shown, "Very Long Name device fff4\n");
  assertStringIncludes(shown, "controller: 1234:fff5\n");
});
