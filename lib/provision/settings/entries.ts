/**
 * The kernel's command line where the Boot Loader Specification has it: in an
 * entry for each kernel, and in the file that `kernel-install` makes new entries
 * of.
 *
 * @module
 */

import { namesIn } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { ConfigurationFile } from "../steps/step.ts";
import { changedFile, textAt } from "./files.ts";
import { mentions, merged } from "./words.ts";

/** The command line of kernels that are installed later. */
export const COMMAND_LINE = "/etc/kernel/cmdline";

/** Where the partition of the firmware, or of the boot loader, is mounted. */
const PARTITIONS = ["/boot", "/efi", "/boot/efi"];

/**
 * The paths of the entries that start a kernel.
 *
 * @param kernel The system.
 */
export function entryPaths(kernel: Kernel): string[] {
  return PARTITIONS.flatMap((partition) => {
    const directory = `${partition}/loader/entries`;
    return namesIn(kernel, directory).filter((name) => name.endsWith(".conf"))
      .map((name) => `${directory}/${name}`);
  }).filter((path) => /^linux\s/m.test(textAt(kernel, path) ?? ""));
}

/**
 * Changes entries so that they have words.
 *
 * @param kernel The system.
 * @param words The words.
 */
export function entryFiles(
  kernel: Kernel,
  words: readonly string[],
): ConfigurationFile[] {
  return entryPaths(kernel).flatMap((path) =>
    changedFile(kernel, path, entryWith(textAt(kernel, path)!, words)) ?? []
  );
}

/**
 * Changes the command line of later kernels so that it has words.
 *
 * @param kernel The system.
 * @param words The words.
 */
export function commandLineFiles(
  kernel: Kernel,
  words: readonly string[],
): ConfigurationFile[] {
  const text = textAt(kernel, COMMAND_LINE);
  if (text === undefined) return [];
  const [first = "", ...rest] = text.split("\n");
  // Some tools read only the first line.
  const [later, here] = divided(rest.join("\n"), words);
  const lines = [
    merged(first, here),
    ...rest.map((line) => inLine(line, later)),
  ];
  const changed = changedFile(kernel, COMMAND_LINE, lines.join("\n"));
  return changed === undefined ? [] : [changed];
}

const OPTIONS = /^(options[ \t]+)(.*)$/gm;

function entryWith(text: string, words: readonly string[]): string {
  const lines = [...text.matchAll(OPTIONS)].map(([, , line]) => line!);
  if (lines.length === 0) {
    const start = text.endsWith("\n") ? text : `${text}\n`;
    return `${start}options ${words.join(" ")}\n`;
  }
  const [present, absent] = divided(lines.join(" "), words);
  let i = 0;
  return text.replaceAll(OPTIONS, (_, head: string, line: string) => {
    const changed = inLine(line, present);
    return head +
      (++i === lines.length ? merged(changed, absent) : changed);
  });
}

/** The words that a text sets already, to whatever value, and the others. */
function divided(
  text: string,
  words: readonly string[],
): [present: string[], absent: string[]] {
  return [
    words.filter((word) => mentions(text, word)),
    words.filter((word) => !mentions(text, word)),
  ];
}

function inLine(line: string, words: readonly string[]): string {
  return merged(line, words.filter((word) => mentions(line, word)));
}
