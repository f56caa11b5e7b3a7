/**
 * A module of Ansible's: reads the parameters of a task, and prints the result.
 *
 * Ansible gives a module that has `WANT_JSON` in its text the path of a file
 * with the parameters, and reads an object from its standard output
 * (`lib/ansible/executor/module_common.py`).
 *
 * @module
 */

import { printable } from "../../lib/printable.ts";
import { explain } from "../../scripts/passthru/failure.ts";
import { CommandInterruption } from "../../scripts/passthru/run/interruption.ts";
import { parseJson } from "../../scripts/passthru/run/json.ts";
import { processTerminal } from "../../scripts/passthru/terminal/process_terminal.ts";
import type { Terminal } from "../../scripts/passthru/terminal/terminal.ts";
import { Parameters } from "./parameters.ts";

/** What a module returns to Ansible. */
export interface Result {
  /** Whether the host was changed, or would be. */
  readonly changed: boolean;
  /** What else it returns. */
  readonly [key: string]: unknown;
}

/** A module. */
export interface Module {
  /** The parameters that it has. */
  readonly parameters: readonly string[];
  /**
   * Does what a task asks for.
   *
   * @param parameters The parameters of the task.
   * @param terminal Reads and writes files, and is aborted by a signal.
   */
  run(parameters: Parameters, terminal: Terminal): Promise<Result>;
}

/**
 * Runs a module, and returns its result, or the failure that Ansible reports.
 *
 * @param module The module.
 * @param path The file with the parameters.
 * @param terminal Reads it.
 */
export async function resultOf(
  module: Module,
  path: string,
  terminal: Terminal,
): Promise<Result> {
  try {
    const given = parseJson(await terminal.read(path));
    const values = given as Readonly<Record<string, unknown>>;
    const parameters = new Parameters(values, module.parameters);
    return await module.run(parameters, terminal);
  } catch (error) {
    const { code, device, message, hint, exit } = explain(
      error,
      terminal.signal,
    );
    const subject = device === undefined ? "" : `${device}: `;
    return {
      changed: false,
      failed: true,
      msg: printable(`${subject}${message}`),
      code,
      device: device ?? null,
      hint: hint ?? null,
      rc: exit,
    };
  }
}

/** Runs a module in this process. */
export async function runModule(module: Module): Promise<void> {
  const interruption = new CommandInterruption();
  await interruption.start();
  const terminal = processTerminal(interruption.signal);
  const result = await resultOf(module, Deno.args[0]!, terminal);
  terminal.write(`${JSON.stringify(result)}\n`);
  Deno.exit(result.failed === true ? 1 : 0);
}
