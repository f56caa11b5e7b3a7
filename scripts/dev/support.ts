/**
 * `deno task support`: writes `docs/support.md` from `docs/support.json`.
 *
 * @module
 */
import { ROOT } from "./deno.ts";

/** Where the list is. */
export const LIST = "docs/support.json";
/** Where the page is. */
export const PAGE = "docs/support.md";

/** What the page is about: a part of what the kernel offers. */
export interface Area {
  /** Its heading. */
  readonly area: string;
  /** What it has. */
  readonly rows: readonly Row[];
}

/** Something that the kernel offers. */
export interface Row {
  /** What it is, in the kernel's words. */
  readonly capability: string;
  /** Whether this library has it. */
  readonly state: "in progress" | "not yet" | "supported";
  /** What has it: an exported name, or a member of one. */
  readonly api?: string;
  /** The entry point that exports it. Default: `"."`. */
  readonly entry?: string;
  /** The test that proves it. */
  readonly test?: string;
  /** The virtual machines that it is proven on, or `"simulation"`. */
  readonly machines?: readonly string[];
  /** What is to be known of it. */
  readonly note?: string;
}

/** Reads the list. */
export async function readSupport(root: URL = ROOT): Promise<Area[]> {
  return JSON.parse(await Deno.readTextFile(new URL(LIST, root)));
}

/**
 * Writes the page as text.
 *
 * @param areas The list.
 */
export function supportPage(areas: readonly Area[]): string {
  return [
    HEAD,
    ...areas.flatMap(({ area, rows }) => [
      `## ${area}\n`,
      table([
        ["what the kernel offers", "here", "proven on"],
        ...rows.map(cells),
      ]),
    ]),
  ].join("\n");
}

const HEAD = `# What is supported

Each capability of VFIO and iommufd, what has it here, and the machines on which
a test proves it: [those of the tests](./tests.md), or the simulation where no
emulated machine has such a device.

This page is written by \`deno task support\` from
[\`support.json\`](./support.json). A test compares the two, and each name with
what the entry points export.
`;

function cells(row: Row): string[] {
  const { capability, state, api, entry, test, machines, note } = row;
  const here = api === undefined
    ? state
    : `\`${api}\`${entry === undefined ? "" : ` of \`${entry}\``}`;
  const where = (machines ?? []).join(", ");
  const proven = test === undefined ? "" : `[${where}](../${test})`;
  const more = note === undefined ? "" : `: ${note}`;
  return [capability, `${here}${more}`, proven];
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[], fill = " ") =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!, fill)).join(" | ")} |\n`;
  const [head, ...rest] = rows;
  const rule = line(widths.map(() => ""), "-");
  return [line(head!), rule, ...rest.map((row) => line(row))].join("");
}

if (import.meta.main) {
  const page = supportPage(await readSupport());
  await Deno.writeTextFile(new URL(PAGE, ROOT), page);
}
