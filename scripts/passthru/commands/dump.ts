/**
 * `passthru dump`
 *
 * @module
 */

import { hexDigits } from "../../../lib/hex.ts";
import {
  type ConfigCapability,
  type ConfigSpaceDump,
  decodeConfigSpace,
} from "../../../lib/pci/config/decode.ts";
import type {
  ConfigFields,
  ConfigValue,
} from "../../../lib/pci/config/words.ts";
import { parsePostedConfigs } from "../../../lib/pci/config/lspci_text.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";
import { sysfsError } from "../../../lib/host/sysfs.ts";
import { O_RDONLY } from "../../../lib/uapi/linux/fcntl.ts";
import {
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_STD_HEADER_SIZEOF,
} from "../../../lib/uapi/pci/regs.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { description, functionJson } from "../output/function_json.ts";
import { readInput } from "../run/input.ts";
import { styled, type Terminal, writeJson } from "../terminal/terminal.ts";

/** Config space, and whose it is. */
interface Source {
  readonly address: string | undefined;
  readonly title: string;
  readonly bytes: Uint8Array;
}

/** Decodes a function's config space, or what somebody posted of it. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [what, ...addresses] = args.operands;
  if (isAddress(what!)) {
    if (addresses.length > 0) {
      throw new UsageError(`${addresses[0]} is one operand too many`);
    }
    const fn = fromUser(() => host.function(what!));
    const title = `${fn.address} ${description(functionJson(fn))}`;
    const bytes = readConfigSpace(fn);
    show(args, terminal, { address: fn.address, title, bytes });
    return EXIT.DONE;
  }
  const sources = await posted(what!, addresses, terminal);
  if (args.has("json")) {
    writeJson(terminal, sources.map((source) => json(args, source)));
    return EXIT.DONE;
  }
  for (const [i, source] of sources.entries()) {
    if (i > 0 && !args.has("hex")) terminal.write("\n");
    show(args, terminal, source);
  }
  return EXIT.DONE;
}

function isAddress(operand: string): boolean {
  return /^([0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i.test(operand);
}

/** Reads the functions of a text that `lspci -x` wrote. */
async function posted(
  path: string,
  wanted: readonly string[],
  terminal: Terminal,
): Promise<Source[]> {
  const found = parsePostedConfigs(await readInput(terminal, path));
  if (found.length === 0) {
    throw new UsageError(
      `${path} is neither an address such as 01:00.0 nor a text with bytes ` +
        "of config space",
      "lspci -xxxx, run as root, writes such a text",
    );
  }
  const sources = found.map(({ address, title, bytes }) => ({
    address,
    title: [address, title].filter(Boolean).join(" ") || "a function",
    bytes,
  }));
  for (const { title, bytes } of sources) {
    if (bytes.length >= PCI_STD_HEADER_SIZEOF) continue;
    throw new UsageError(
      `${path} has ${bytes.length} bytes of ${title}: expected ` +
        `${PCI_STD_HEADER_SIZEOF} at least`,
    );
  }
  if (wanted.length === 0) return sources;
  return wanted.flatMap((address) => {
    const full = address.length > "00:00.0".length
      ? address.toLowerCase()
      : `0000:${address.toLowerCase()}`;
    const ofFunction = sources.filter(({ address }) => address === full);
    if (ofFunction.length > 0) return ofFunction;
    const there = found.flatMap(({ address }) => address ?? []).join(", ");
    throw new UsageError(`${path} has no ${address}: it has ${there}`);
  });
}

function show(args: Arguments, terminal: Terminal, source: Source): void {
  const { title, bytes } = source;
  if (args.has("json")) writeJson(terminal, json(args, source));
  else if (args.has("hex")) terminal.write(hexText(title, bytes));
  else terminal.write(dumpText(terminal, title, decodeConfigSpace(bytes)));
}

function json(args: Arguments, { address, bytes }: Source) {
  return args.has("hex")
    ? { address: address ?? null, bytes: bytes.toHex() }
    : dumpJson(address, decodeConfigSpace(bytes));
}

/** Reads as much of config space as this user may. */
function readConfigSpace(fn: PciFunction): Uint8Array {
  const { kernel } = fn.host;
  const bytes = new Uint8Array(PCI_CFG_SPACE_EXP_SIZE);
  try {
    const fd = kernel.open(`${fn.path}/config`, O_RDONLY);
    try {
      let end = 0;
      while (end < bytes.length) {
        const count = kernel.pread(fd, bytes.subarray(end), BigInt(end));
        if (count === 0) break;
        end += count;
      }
      return bytes.subarray(0, end);
    } finally {
      kernel.close(fd);
    }
  } catch (error) {
    throw sysfsError(error, fn.address);
  }
}

function hexText(title: string, bytes: Uint8Array): string {
  const lines = [title];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)].map((byte) =>
      hexDigits(byte, 2)
    );
    lines.push(`${hexDigits(at, 2)}: ${row.join(" ")}`);
  }
  // lspci ends each function with an empty line.
  return `${lines.join("\n")}\n\n`;
}

function dumpJson(address: string | undefined, dump: ConfigSpaceDump) {
  return {
    address: address ?? null,
    size: dump.size,
    header: dump.header,
    capabilities: dump.capabilities.map(({ version, id, ...capability }) => ({
      id: hexDigits(id, capability.extended ? 4 : 2),
      ...capability,
      version: version ?? null,
    })),
    problems: dump.problems,
  };
}

function dumpText(
  terminal: Terminal,
  title: string,
  { header, capabilities, problems }: ConfigSpaceDump,
): string {
  return [
    styled(terminal, "bold", title),
    ...fieldLines(header, "  "),
    ...capabilities.flatMap((capability) => [
      capabilityTitle(terminal, capability),
      ...fieldLines(capability.fields, "    "),
    ]),
    ...problems.map((problem) => `  ${styled(terminal, "yellow", problem)}`),
  ].map((line) => `${line}\n`).join("");
}

function capabilityTitle(
  terminal: Terminal,
  { name, at, extended, version, truncated }: ConfigCapability,
): string {
  const title = styled(terminal, "cyan", name);
  return `  [${hexDigits(at, extended ? 3 : 2)}] ${title}` +
    (version === undefined ? "" : ` v${version}`) +
    (truncated ? ", which cannot be read to its end" : "");
}

/** Writes all simple fields in one line, and a line for each register. */
function fieldLines(fields: ConfigFields, indent: string): string[] {
  const simple: string[] = [];
  const registers: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (Array.isArray(value) && value.some(isRecord)) {
      for (const element of value) {
        registers.push(`${indent}${words(name)}: ${valueText(element)}`);
      }
    } else if (isRecord(value)) {
      registers.push(`${indent}${words(name)}: ${valueText(value)}`);
    } else simple.push(fieldText(name, value));
  }
  return [
    ...(simple.length === 0 ? [] : [`${indent}${simple.join(", ")}`]),
    ...registers,
  ];
}

function isRecord(value: ConfigValue): value is ConfigFields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Splits a name into words: `busMaster` into `bus master`. */
function words(name: string): string {
  return name.replace(
    /(?<=[a-z])[A-Z](?![A-Z0-9])/g,
    (letter) => ` ${letter.toLowerCase()}`,
  );
}

/** Writes a field as lspci does: a flag has a plus or a minus. */
function fieldText(name: string, value: ConfigValue): string {
  if (typeof value === "boolean") return `${words(name)}${value ? "+" : "-"}`;
  return `${words(name)} ${valueText(value)}`;
}

function valueText(value: ConfigValue): string {
  if (value === null) return "none";
  if (Array.isArray(value)) {
    return value.length === 0 ? "none" : value.map(valueText).join(" ");
  }
  if (!isRecord(value)) return String(value);
  const entries = Object.entries(value);
  const separator = entries.every(([, each]) => typeof each === "boolean")
    ? " "
    : ", ";
  return entries.map(([name, each]) => fieldText(name, each)).join(separator);
}
