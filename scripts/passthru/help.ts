/**
 * What `--help` shows.
 *
 * @module
 */

import type { Command, Operand, Option } from "./command.ts";
import { COMMANDS, COMMON } from "./commands.ts";
import { styled, type Terminal } from "./terminal/terminal.ts";

const EXIT_CODES = `0    done, or nothing to do
1    failed, and what was done is undone
2    called wrongly
3    refused, because the host uses the device
4    the host is not fit for it
5    done, but the output could not be written
130  interrupted, and everything is as it was`;

function operandText({ name, optional, many }: Operand): string {
  const text = many ? `${name}...` : name;
  return optional ? `[${text}]` : text;
}

function usage(name: string, command: Command): string {
  const words = [
    "passthru",
    name,
    ...(command.operands ?? []).map(operandText),
    "[OPTION...]",
    ...(command.rest === undefined ? [] : [`[-- ${command.rest}...]`]),
  ];
  return words.join(" ");
}

/** Breaks a text into lines of less than 80 columns. */
function wrapText(text: string): string {
  return text.replace(/(.{1,79})(?: +|$)/g, "$1\n").trimEnd();
}

/** Aligns rows in two columns. */
function twoColumns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}\n`)
    .join("");
}

function optionRows(
  options: Readonly<Record<string, Option>>,
): [string, string][] {
  return Object.entries(options).map(([name, { value, about }]) => [
    value === undefined ? `--${name}` : `--${name} ${value}`,
    about,
  ]);
}

/**
 * Returns the help of a command, or the list of all commands.
 *
 * @param terminal The terminal that shows it.
 * @param name The command. Default: all.
 */
export function helpText(terminal: Terminal, name?: string): string {
  const title = (text: string) => styled(terminal, "bold", text);
  if (name === undefined || name === "help") {
    const commands = Object.entries(COMMANDS).map(([name, { about }]) =>
      [name, about] as const
    );
    return `passthru COMMAND [OPTION...]

Hands PCI functions and mediated devices to virtual machines, and takes them
back.

${title("Commands")}
${twoColumns(commands)}
${title("Options of every command")}
${twoColumns(optionRows(COMMON))}
${title("Exit codes")}
${EXIT_CODES.replace(/^/gm, "  ")}

passthru COMMAND --help shows how a command is called, with examples.
`;
  }
  const command = COMMANDS[name]!;
  const { about, details, options = {}, examples } = command;
  return `${usage(name, command)}

${about[0]!.toUpperCase()}${about.slice(1)}.
${details === undefined ? "" : `${wrapText(details)}\n`}
${title("Options")}
${twoColumns(optionRows({ ...options, ...COMMON }))}
${title("Examples")}
${
    Object.entries(examples).map(([line, what]) => `  # ${what}\n  ${line}\n`)
      .join("")
  }`;
}
