/**
 * Runs programs of the simulated host. Each is a file on its disk; those whose
 * effects are not simulated do nothing. A file with the text `exit 3` fails
 * with that status.
 *
 * @module
 */

import { basename } from "../../host/path.ts";
import type { ProgramResult } from "../../kernel/kernel.ts";
import { loadModule, unloadModule } from "../driver/modules.ts";
import type { Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "./refusal.ts";
import { makeGrubConfig } from "./grub.ts";

/** Does what a program does, as root. */
type Program = (machine: Machine, args: readonly string[]) => ProgramResult;

const PROGRAMS: Readonly<Record<string, Program>> = {
  "modprobe": (machine, args) => loadModule(machine, args.at(-1) ?? ""),
  "rmmod": (machine, args) => unloadModule(machine, args.at(-1) ?? ""),
  "update-grub": makeGrubConfig,
};

/**
 * Runs a program.
 *
 * @param machine The machine.
 * @param process The process that runs it.
 * @param path The program.
 * @param args Its arguments.
 */
export function runProgram(
  machine: Machine,
  process: Process,
  path: string,
  args: readonly string[],
): ProgramResult {
  let text: string;
  try {
    text = machine.init.readFile(path);
  } catch {
    return refuse("ENOENT");
  }
  const [, status] = /^exit (\d+)$/m.exec(text) ?? [];
  if (status !== undefined) {
    return { status: Number(status), output: `${basename(path)}: it fails\n` };
  }
  const program = PROGRAMS[basename(path)];
  if (program === undefined) return { status: 0, output: "" };
  if (process.uid !== 0) {
    return { status: 1, output: `${basename(path)}: Permission denied\n` };
  }
  return program(machine, args);
}
