/**
 * Runs the command that a command line names.
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import type { SimulatedHost } from "../../lib/sim/host.ts";
import { parseArgs } from "./args.ts";
import { Arguments, type Command, EXIT, UsageError } from "./command.ts";
import { COMMANDS, COMMON } from "./commands.ts";
import { LOADERS } from "./load.ts";
import {
  guarded,
  styled,
  type Terminal,
  writeJson,
} from "./terminal/terminal.ts";

/** Makes the host that a command acts on. */
export interface Hosts {
  /** This machine. */
  host(): Promise<Host>;
  /** A simulated host, from a snapshot. */
  simulated(snapshot: unknown): Promise<SimulatedHost>;
}

/** A parsed command line. */
interface Call {
  readonly name: string;
  readonly args: Arguments;
}

/**
 * Runs the command that a command line names.
 *
 * @param argv The command line, without the program's name.
 * @param given Where it reads and writes.
 * @param hosts Makes the host that it acts on.
 * @returns The exit code.
 */
export async function main(
  argv: readonly string[],
  given: Terminal,
  hosts: Hosts,
): Promise<number> {
  const terminal = guarded(given);
  try {
    const call = await parse(argv, terminal);
    if (call === undefined) return EXIT.DONE;
    const code = await run(call, terminal, hosts);
    return code === EXIT.DONE ? outputCode(terminal) : code;
  } catch (error) {
    const end = argv.indexOf("--");
    const json = (end < 0 ? argv : argv.slice(0, end)).includes("--json");
    return report(error, terminal, json);
  } finally {
    terminal.progress(undefined);
  }
}

/** Reports that the output could not be written, if so. */
function outputCode(terminal: Terminal): number {
  const problem = terminal.outputError?.();
  if (problem === undefined) return EXIT.DONE;
  terminal.warn(
    `passthru: cannot write standard output: ${problem}\n` +
      "hint: the command itself is done; passthru status says what is applied\n",
  );
  return EXIT.UNWRITTEN;
}

async function run(
  { name, args }: Call,
  given: Terminal,
  hosts: Hosts,
): Promise<number> {
  const terminal = args.has("progress")
    ? { ...given, progress: progressLines(given) }
    : given;
  const snapshot = args.value("simulate");
  if (args.has("keep")) return await keep(name, args, terminal, hosts);
  const [{ run }, host] = await Promise.all([
    LOADERS[name]!(),
    snapshot === undefined
      ? hosts.host()
      : simulated(snapshot, terminal, hosts),
  ]);
  return await run(args, host, terminal);
}

/** Writes each step as a line of JSON. */
function progressLines(terminal: Terminal): Terminal["progress"] {
  let last: string | undefined;
  return (step) => {
    // A step is told of when it is begun, and when it is made.
    if (step === undefined || step === last) return;
    last = step;
    const at = new Date().toISOString();
    terminal.warn(`${JSON.stringify({ at, step })}\n`);
  };
}

/** Runs a command on a simulated host, and keeps what it has changed. */
async function keep(
  name: string,
  args: Arguments,
  terminal: Terminal,
  hosts: Hosts,
): Promise<number> {
  const path = args.value("simulate");
  if (path === undefined || path === "-") {
    throw new UsageError("--keep needs a file: --simulate FILE --keep");
  }
  if (/\.html?$/i.test(path)) {
    throw new UsageError(
      `--keep would replace the report ${path}`,
      "make a snapshot of it: passthru --simulate FILE.html snapshot > FILE.json",
    );
  }
  await assertKeepable(path, terminal);
  const [{ run }, { keeping }, host] = await Promise.all([
    LOADERS[name]!(),
    import("./run/keeping.ts"),
    simulated(path, terminal, hosts),
  ]);
  return await keeping(
    host.machine,
    (text) => terminal.save(path, text),
    () => run(args, host, terminal),
  );
}

/** Refuses to write JSON over a text that somebody posted. */
async function assertKeepable(path: string, terminal: Terminal): Promise<void> {
  const { readInput } = await import("./run/input.ts");
  if (isJson(await readInput(terminal, path))) return;
  throw new UsageError(
    `--keep needs a snapshot, and ${path} is a text`,
    `passthru --simulate ${path} snapshot > host.json makes one`,
  );
}

async function simulated(
  path: string,
  terminal: Terminal,
  hosts: Hosts,
): Promise<SimulatedHost> {
  const [{ readInput }, { parseJson }, { snapshotText }] = await Promise.all([
    import("./run/input.ts"),
    import("./run/json.ts"),
    import("./run/snapshot_text.ts"),
  ]);
  const text = await readInput(terminal, path);
  try {
    const snapshot = snapshotText(text);
    return await hosts.simulated(
      isJson(snapshot)
        ? parseJson(snapshot)
        : (await import("../../lib/sim/posted/topology.ts")).topologyFromText(
          snapshot,
        ),
    );
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(
      `${path} is not a snapshot: ${message}`,
      "passthru snapshot makes one",
    );
  }
}

/** Whether a text is meant to be JSON, rather than what lspci writes. */
function isJson(text: string): boolean {
  return /^\s*[[{"]/.test(text) ||
    !/[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/i.test(text);
}

/**
 * Parses a command line. Writes help and returns `undefined` when that is asked
 * for.
 */
async function parse(
  argv: readonly string[],
  terminal: Terminal,
): Promise<Call | undefined> {
  const found = nameIn(argv);
  const help = async (name?: string) => {
    const { helpText } = await import("./help.ts");
    terminal.write(helpText(terminal, name));
  };
  if (found === undefined) {
    const words = argv.filter((word) => word !== "--json");
    if (
      words.length === 0 || words.includes("--help") || words.includes("-h")
    ) {
      await help();
      if (words.length > 0) return undefined;
      throw new UsageError("no command is given");
    }
    if (words[0] === "--version") {
      const { VERSION } = await import("./version.ts");
      terminal.write(`passthru ${VERSION}\n`);
      return undefined;
    }
    throw new UsageError(
      `unknown option ${words[0]}`,
      "the command comes first: passthru COMMAND [OPTION...]",
    );
  }
  const { name, rest } = found;
  if (name === "help") {
    const [about] = rest;
    if (about !== undefined) await commandNamed(about);
    await help(about);
    return undefined;
  }
  const command = await commandNamed(name);
  const args = await argumentsOf(name, command, rest);
  if (args === undefined) {
    await help(name);
    return undefined;
  }
  return { name, args };
}

/** Separates the command's name from the rest of a command line. */
function nameIn(
  argv: readonly string[],
): { name: string; rest: string[] } | undefined {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (!word.startsWith("-")) {
      return { name: word, rest: argv.toSpliced(i, 1) };
    }
    const option = COMMON[word.slice(2)];
    if (option?.value !== undefined) i++;
    else if (option === undefined && !isCommonValue(word)) return undefined;
  }
  return undefined;
}

/**
 * Whether a word is a common option with its value, such as `--simulate=FILE`.
 */
function isCommonValue(word: string): boolean {
  return COMMON[word.slice(2).split("=")[0]!]?.value !== undefined;
}

async function commandNamed(name: string): Promise<Command> {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!;
  const { nearest } = await import("../../lib/suggest.ts");
  const suggestion = nearest(name, [...Object.keys(COMMANDS), "help"]);
  throw new UsageError(
    `unknown command ${name}`,
    suggestion === undefined
      ? "passthru --help lists the commands"
      : `did you mean ${suggestion}?`,
  );
}

/**
 * Parses the arguments of a command; `undefined` when its help is asked for.
 */
async function argumentsOf(
  name: string,
  command: Command,
  argv: readonly string[],
): Promise<Arguments | undefined> {
  const options = { ...command.options, ...COMMON };
  const names = Object.keys(options);
  const withValue = names.filter((name) => options[name]!.value !== undefined);
  const unknown: string[] = [];
  const { _, "--": rest, ...found } = parseArgs([...argv], {
    "--": true,
    boolean: names.filter((name) => !withValue.includes(name)),
    string: ["_", ...withValue],
    collect: withValue,
    alias: { help: "h" },
    unknown: (word, key) => {
      if (key === undefined) return true;
      unknown.push(word);
      return false;
    },
  });
  const parsed: Record<string, unknown> = found;
  if (parsed.help === true) return undefined;
  if (unknown.length > 0) throw await unknownOption(name, unknown[0]!, names);
  for (const option of withValue) {
    const { value, many } = options[option]!;
    const texts = parsed[option] as string[];
    if (texts.includes("")) {
      throw new UsageError(`--${option} needs a value: --${option} ${value}`);
    }
    if (many) continue;
    if (texts.length > 1) throw new UsageError(`--${option} is given twice`);
    parsed[option] = texts[0];
  }
  const operands = _.map(String);
  assertOperands(name, command, operands, rest);
  await assertChoices(command, operands, parsed);
  return new Arguments(operands, parsed, rest);
}

async function unknownOption(
  command: string,
  word: string,
  names: readonly string[],
): Promise<UsageError> {
  const { nearest } = await import("../../lib/suggest.ts");
  const written = word.split("=")[0]!;
  const suggestion = nearest(written.replace(/^-+/, ""), names);
  return new UsageError(
    `unknown option ${written}`,
    suggestion === undefined
      ? `passthru ${command} --help lists its options`
      : `did you mean --${suggestion}?`,
  );
}

function assertOperands(
  name: string,
  command: Command,
  operands: readonly string[],
  rest: readonly string[],
): void {
  const { operands: expected = [] } = command;
  const hint = `passthru ${name} --help shows how it is called`;
  const missing = expected.filter(({ optional }) => !optional)[operands.length];
  if (missing !== undefined) {
    throw new UsageError(`${missing.name} is missing`, hint);
  }
  const limit = expected.some(({ many }) => many) ? Infinity : expected.length;
  if (operands.length > limit) {
    throw new UsageError(`${operands[limit]} is one operand too many`, hint);
  }
  if (rest.length > 0 && command.rest === undefined) {
    throw new UsageError(`nothing is expected after --`, hint);
  }
}

/** Throws where a value is not in its list of allowed values. */
async function assertChoices(
  command: Command,
  operands: readonly string[],
  parsed: Readonly<Record<string, unknown>>,
): Promise<void> {
  const values = [
    ...(command.operands ?? []).map(({ name, kind }, i) =>
      [name, kind, operands[i]] as const
    ),
    ...Object.entries(command.options ?? {}).map(([name, { kind }]) =>
      [`--${name}`, kind, parsed[name]] as const
    ),
  ];
  for (const [name, kind, value] of values) {
    if (!Array.isArray(kind) || typeof value !== "string") continue;
    if (kind.includes(value)) continue;
    const { nearest } = await import("../../lib/suggest.ts");
    const suggestion = nearest(value, kind);
    throw new UsageError(
      `${name} is ${value}: expected one of ${kind.join(", ")}`,
      suggestion === undefined ? undefined : `did you mean ${suggestion}?`,
    );
  }
}

/** Reports an error, and returns the exit code. */
async function report(
  error: unknown,
  terminal: Terminal,
  json: boolean,
): Promise<number> {
  const { explain } = await import("./failure.ts");
  const { warnLines } = await import("./terminal/lines.ts");
  const { code, device, message, hint, exit, stack } = explain(
    error,
    terminal.signal,
  );
  if (json) {
    writeJson(terminal, {
      error: {
        code,
        device: device ?? null,
        message,
        hint: hint ?? null,
      },
    });
  } else {
    const subject = device === undefined ? "" : `${device}: `;
    const label = styled(terminal, "red", "passthru:");
    warnLines(terminal, `${label} `, `${subject}${message}`);
    if (hint !== undefined) warnLines(terminal, "hint: ", hint);
  }
  if (stack !== undefined) terminal.warn(`${stack}\n`);
  return exit;
}
