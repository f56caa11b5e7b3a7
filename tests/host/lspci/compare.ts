/**
 * Compares `decodeConfigSpace` with the text of `lspci -vvv`.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { ConfigSpaceDump } from "../../../lib/pci/config/decode.ts";
import type {
  ConfigFields,
  ConfigValue,
} from "../../../lib/pci/config/words.ts";
import { FACTS } from "./facts.ts";
import { FLAGS } from "./flags.ts";

/** Has lspci decode the bytes. */
export async function lspci(
  address: string,
  bytes: Uint8Array,
  program = "lspci",
): Promise<string> {
  const lines = [`${address} `];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16).toHex().match(/../g)!;
    lines.push(`${at.toString(16).padStart(2, "0")}: ${row.join(" ")}`);
  }
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, `${lines.join("\n")}\n\n`);
    const { stdout } = await new Deno.Command(program, {
      args: ["-vvv", "-n", "-F", path],
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(path);
  }
}

function at(fields: ConfigFields, path: string): ConfigValue | undefined {
  return path.split(".").reduce(
    (value: ConfigValue | undefined, name) => {
      const names = name.startsWith("{")
        ? name.slice(1, -1).split(",")
        : [name];
      const record = value as ConfigFields | undefined;
      return record?.[names.find((each) => each in record) ?? name];
    },
    fields,
  );
}

/** Writes a value of the dump as lspci does. */
function written(value: ConfigValue | undefined): string {
  if (typeof value === "boolean") return value ? "+" : "-";
  return String(value).replace(/^0x/, "");
}

/** Whether two texts are the same, or the same number, in either base. */
function same(value: ConfigValue | undefined, theirs: string): boolean {
  const ours = written(value);
  if (ours.toLowerCase() === theirs.toLowerCase()) return true;
  const hex = /^[0-9a-f]+$/;
  if (typeof value === "number") {
    return value === Number(theirs) || value === parseInt(theirs, 16);
  }
  return hex.test(ours) && hex.test(theirs) &&
    BigInt(`0x${ours}`) === BigInt(`0x${theirs}`);
}

/** The parts of lspci's text: the header's, and each capability's. */
function partsOf(text: string): { header: string; capabilities: string[] } {
  const [header, ...capabilities] = text.split(/^\tCapabilities: /m);
  return { header: header!, capabilities };
}

/**
 * Compares a dump with lspci's text of the same function.
 *
 * @param dump What `decodeConfigSpace` returned.
 * @param text What `lspci -vvv` wrote.
 * @returns How many facts were compared, by capability.
 * @throws {AssertionError} If they differ.
 */
export function compareWithLspci(
  dump: ConfigSpaceDump,
  text: string,
): Map<string, number> {
  const { header, capabilities } = partsOf(text);
  const chain = capabilities.map((part) => {
    const [, where, version] = /^\[(\w+)(?: v(\d+))?\]/.exec(part)!;
    return [where, version];
  });
  assertEquals(
    dump.capabilities.map(({ at, version }) => [
      at.toString(16).padStart(version === undefined ? 2 : 3, "0"),
      version?.toString(),
    ]),
    chain,
    text,
  );
  const facts = new Map([[
    "header",
    comparePart(undefined, dump.header, header),
  ]]);
  for (const [i, { name, fields, truncated }] of dump.capabilities.entries()) {
    if (truncated) continue;
    const count = comparePart(name, fields, capabilities[i]!);
    facts.set(name, (facts.get(name) ?? 0) + count);
  }
  return facts;
}

function comparePart(
  name: string | undefined,
  fields: ConfigFields,
  text: string,
): number {
  let facts = 0;
  for (const [start, capability, register, names] of FLAGS) {
    if (capability !== name) continue;
    const line = text.split("\n").find((line) => line.trim().startsWith(start));
    if (line === undefined) continue;
    const values = register === "" ? fields : at(fields, register);
    for (const [theirs, ours] of Object.entries(names)) {
      const sign = line.split(/[\s,]+/).find((word) =>
        word.slice(0, -1).replace(/=.*/, "") === theirs
      )?.at(-1);
      const value = (values as ConfigFields | undefined)?.[ours];
      // An older lspci, or another kind of function, has fewer.
      if (sign === undefined || value === undefined) continue;
      assertEquals(written(value), sign, `${theirs} in ${line}`);
      facts++;
    }
  }
  for (const [pattern, capability, paths] of FACTS) {
    if (capability !== name) continue;
    const values = pattern.exec(text)?.slice(1);
    if (values === undefined) continue;
    for (const [i, path] of paths.entries()) {
      const value = at(fields, path);
      if (!same(value, values[i]!)) {
        assertEquals(written(value), values[i], `${path} in ${text}`);
      }
      facts++;
    }
  }
  return facts;
}
