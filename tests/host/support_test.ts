/**
 * Compares the list of what is supported with its page, with what the entry
 * points export, and with the tests and machines that it names.
 */
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";
import {
  PAGE,
  readSupport,
  type Row,
  supportPage,
} from "../../scripts/dev/support.ts";
import { ALL_MACHINES } from "../vm/machines.ts";
import config from "../../deno.json" with { type: "json" };

const areas = await readSupport();
const rows = areas.flatMap(({ rows }) => rows);

/** A member of an exported class or interface. */
interface Member {
  readonly name: string;
}

/** What `deno doc --json` says of a name that a module exports. */
interface Exported {
  readonly name: string;
  readonly declarations: readonly {
    readonly def?: {
      readonly methods?: readonly Member[];
      readonly properties?: readonly Member[];
      /** The class that it extends. */
      readonly extends?: string;
    };
  }[];
}

/** The names that an entry point exports, and their members. */
async function exportsOf(entry: string): Promise<ReadonlySet<string>> {
  const file = config.exports[entry as keyof typeof config.exports];
  assert(file !== undefined, `${entry} is no entry point`);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", file],
    cwd: ROOT,
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: readonly Exported[] }>;
  };
  const names = new Set<string>();
  const { symbols } = Object.values(nodes)[0]!;
  const membersOf = (
    def: Exported["declarations"][number]["def"],
  ): string[] => {
    const base = symbols.find(({ name }) => name === def?.extends);
    return [
      ...[...def?.methods ?? [], ...def?.properties ?? []]
        .map(({ name }) => name),
      ...base?.declarations.flatMap(({ def }) => membersOf(def)) ?? [],
    ];
  };
  for (const { name, declarations } of symbols) {
    names.add(name);
    for (const { def } of declarations) {
      for (const member of membersOf(def)) names.add(`${name}.${member}`);
    }
  }
  return names;
}

Deno.test("docs/support.md agrees with docs/support.json", async () => {
  const page = await Deno.readTextFile(new URL(PAGE, ROOT));
  assertEquals(page, supportPage(areas), "deno task support updates it");
});

Deno.test("docs/support.json names only what the entry points export", async () => {
  const entries = new Set(rows.map(({ entry = "." }) => entry));
  const exported = new Map<string, ReadonlySet<string>>();
  for (const entry of entries) exported.set(entry, await exportsOf(entry));
  const isMissing = ({ api, entry = "." }: Row) =>
    api !== undefined && !exported.get(entry)!.has(api);
  assertEquals(rows.filter(isMissing), []);
});

Deno.test("docs/support.json names an export, a test and machines of what is supported only", () => {
  for (const row of rows) {
    const isSupported = row.state === "supported";
    for (const member of ["api", "test", "machines"] as const) {
      assertEquals(member in row, isSupported, `${row.capability}: ${member}`);
    }
  }
});

Deno.test("docs/support.json names tests and machines that there are", async () => {
  const known = ["simulation", ...ALL_MACHINES.map(({ name }) => name)];
  for (const { test, machines = [] } of rows) {
    if (test !== undefined) {
      assert((await Deno.stat(new URL(test, ROOT))).isFile, test);
    }
    assertEquals(machines.filter((name) => !known.includes(name)), [], test);
  }
});

Deno.test("docs/support.json has each capability once", () => {
  const names = rows.map(({ capability }) => capability);
  assertEquals(names.length, new Set(names).size);
});
