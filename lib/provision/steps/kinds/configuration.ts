/**
 * Steps that change files of the host's settings, and run what reads them.
 *
 * @module
 */

import type { Kernel } from "../../../kernel/kernel.ts";
import { ifPresent } from "../../../host/sysfs.ts";
import { wordsOf } from "../../settings/words.ts";
import {
  captureEntry,
  type FileBefore,
  isEntry,
  makeEntry,
  textEntry,
  undoEntry,
} from "./file.ts";
import { kernelName } from "./module.ts";
import type { StepKind } from "../kind.ts";
import { runProgram, untilNoneRuns } from "../programs.ts";
import type { ConfigurationFile, ConfigurationStep } from "../step.ts";

/** Programs such as `update-initramfs` take minutes on a slow disk. */
const PATIENCE = 300_000;

/**
 * Steps that change settings. They capture each file. What reads the files runs
 * once all are written, and again once all are back.
 */
export const configurationKind: StepKind<
  ConfigurationStep,
  readonly FileBefore[]
> = {
  patience: PATIENCE,

  pending({ host: { kernel } }, { atBoot = {} }) {
    const { commandLine = [], moduleOptions = {} } = atBoot;
    return isMissing(kernel, commandLine) ||
      Object.entries(moduleOptions).some(([module, options]) =>
        Object.entries(options).some(([name, value]) =>
          isOtherwise(kernel, module, name, value)
        )
      );
  },

  holds({ host: { kernel } }, { files }) {
    return Promise.resolve(
      files.every((file) => isEntry(kernel, file.path, wanted(file))),
    );
  },

  capture({ host: { kernel } }, { files }) {
    return Promise.resolve(
      files.map(({ path }) => captureEntry(kernel, path)),
    );
  },

  async make(work, { files, commands }, before) {
    const { kernel } = work.host;
    for (const [i, file] of files.entries()) {
      makeEntry(kernel, file.path, wanted(file), before[i]!);
    }
    for (const command of commands) await runProgram(work, command);
  },

  async undo(work, { files, commands }, before, made) {
    const { kernel } = work.host;
    for (const [path = ""] of made ? [] : commands) {
      await untilNoneRuns(work, path);
    }
    const errors: unknown[] = [];
    for (const [i, file] of [...files.entries()].reverse()) {
      try {
        const written = made ? wanted(file) : undefined;
        undoEntry(kernel, { ...file, why: "" }, before[i]!, written);
      } catch (error) {
        errors.push(error);
      }
    }
    for (const command of commands) await runProgram(work, command);
    if (errors.length > 0) throw errors[0];
  },
};

function wanted({ text, mode }: ConfigurationFile) {
  return textEntry(text, mode);
}

function isMissing(kernel: Kernel, words: readonly string[]): boolean {
  if (words.length === 0) return false;
  const now = ifPresent(() => kernel.readFile("/proc/cmdline")) ?? "";
  const present = new Set(wordsOf(now));
  return words.some((word) => !present.has(word));
}

/** Whether a loaded module has another value of a parameter. */
function isOtherwise(
  kernel: Kernel,
  module: string,
  name: string,
  value: string,
): boolean {
  const path = `/sys/module/${kernelName(module)}/parameters/${name}`;
  let now: string | undefined;
  try {
    now = ifPresent(() => kernel.readFile(path))?.trim();
  } catch {
    // Not every parameter can be read.
  }
  return now !== undefined && truth(now) !== truth(value);
}

/** A boolean parameter is written in several ways, and read as Y or N. */
function truth(value: string): string {
  if (/^(?:1|y|Y|on|true)$/.test(value)) return "Y";
  return /^(?:0|n|N|off|false)$/.test(value) ? "N" : value;
}
