/**
 * What commands write as JSON has the keys that scripts/README.md lists.
 */
import { assert, assertEquals } from "@std/assert";
import readme from "../../../scripts/README.md" with { type: "text" };
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { json } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";

const HOST: Topology = {
  functions: {
    "0000:00:01.0": { id: "8086:1901", class: 0x060400, acs: false },
    "0000:00:02.0": { id: "8086:1912", driver: "i915" },
    [A]: {
      id: "8086:10c9",
      class: 0x020000,
      driver: "igb",
      behind: "0000:00:01.0",
      bars: ["64K", null, "32 io"],
      sriov: { total: 7, enabled: 1, id: "8086:10ca" },
    },
    "0000:01:00.1": { id: "8086:10c9", driver: "igb", behind: "0000:00:01.0" },
    [B]: { id: "1b36:0010", driver: "vfio-pci", bars: ["64K"] },
  },
  mediatedTypes: { "0000:00:02.0": { "i915-A": { instances: 1 } } },
};

const [, section = ""] = /^## JSON$(.*?)^## /ms.exec(readme)!;

/** What the page says of the JSON of a command: its row, and the text below. */
function documented(command: string): Set<string> {
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  const row = rows.find((line) =>
    line.split("|")[1]!.split(",").some((each) => each.trim() === command)
  );
  assert(row !== undefined, command);
  const below = section.slice(section.lastIndexOf("\n|"));
  const [, list = ""] = /^`list` writes .*?```json(.*?)```/ms.exec(section)!;
  return new Set([
    ...[...`${row}${below}`.matchAll(/`(\w+)`/g)].map(([, word]) => word!),
    ...[...list.matchAll(/"(\w+)":/g)].map(([, key]) => key!),
  ]);
}

/** The keys of a value, and of all values in it but the excepted ones. */
function keysOf(value: unknown, except: readonly string[]): string[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) {
    return value.flatMap((each) => keysOf(each, except));
  }
  return Object.entries(value).flatMap(([key, each]) => [
    key,
    ...except.includes(key) ? [] : keysOf(each, except),
  ]);
}

// The keys of a step are those of its kind.
const STEPS = ["step", "steps", "undone"];

for (
  const [command, argv, except = []] of [
    ["`show`", ["show", B]],
    ["`groups`", ["groups"]],
    ["`groups --tree`", ["groups", "--tree"]],
    ["`doctor`", ["doctor"]],
    ["`bind`", ["bind", "0000:01:00.1", "none"], STEPS],
    ["`status`", ["status"], STEPS],
    ["`mdev`", ["mdev"]],
    ["`restore`", ["restore"], STEPS],
    ["`attach`", ["attach", B, "--no-hold"]],
    ["`reset`", ["reset", B]],
    ["`dump`", ["dump", A], ["fields", "header"]],
    ["`dump`", ["dump", A, "--hex"]],
    ["`completions`", ["completions", "bash"]],
  ] as const
) {
  Deno.test(`passthru ${argv.join(" ")} writes JSON with documented keys`, async () => {
    const host = simulate(HOST);
    if (argv[0] === "status") await json(host, ["vfs", A, "0"]);
    const shown = await json(host, argv);
    assertEquals(shown.error, undefined);
    const known = documented(command);
    const keys = keysOf(shown, except as readonly string[]);
    assertEquals(keys.filter((key) => !known.has(key)), []);
  });
}
