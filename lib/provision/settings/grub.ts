/**
 * The kernel's command line in GRUB's settings, `/etc/default/grub` and the
 * files beside it, which shells read.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { exists, namesIn } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { programPath } from "../steps/programs.ts";
import type { ConfigurationFile } from "../steps/step.ts";
import { changedFile, textAt } from "./files.ts";
import { mentions, merged } from "./words.ts";

/** GRUB's settings. */
export const GRUB = "/etc/default/grub";
/** Further settings, on the distributions that have such a directory. */
const DIRECTORY = `${GRUB}.d`;
const OURS = `${DIRECTORY}/90-passthru.cfg`;

/** For all entries but those that recover. */
const DEFAULT = "GRUB_CMDLINE_LINUX_DEFAULT";

/** What makes GRUB's configuration; `undefined` where nothing does. */
export function grubCommand(kernel: Kernel): readonly string[] | undefined {
  const update = programPath(kernel, "update-grub");
  if (update !== undefined) return [update];
  const make = programPath(kernel, "grub2-mkconfig") ??
    programPath(kernel, "grub-mkconfig");
  const directory = exists(kernel, "/boot/grub2")
    ? "/boot/grub2"
    : "/boot/grub";
  return make === undefined ? undefined : [make, "-o", `${directory}/grub.cfg`];
}

/**
 * Changes GRUB's settings so that they have words.
 *
 * @param kernel The system.
 * @param words The words.
 * @throws {VfioError} `NOT_SUPPORTED` when a setting cannot be changed safely.
 */
export function grubFiles(
  kernel: Kernel,
  words: readonly string[],
): ConfigurationFile[] {
  const more = namesIn(kernel, DIRECTORY)
    .filter((name) => name.endsWith(".cfg"))
    .map((name) => `${DIRECTORY}/${name}`);
  const texts = [GRUB, ...more].map((path): [string, string] => [
    path,
    textAt(kernel, path) ?? "",
  ]);
  // Where a word is set to another value, that is changed.
  const rest = words.filter((word) =>
    !texts.some(([, text]) => says(text, word))
  );
  const changed = texts.map(([path, text]): [string, string] => {
    const here = words.filter((word) => says(text, word));
    return [path, here.reduce((now, word) => replaced(now, path, word), text)];
  });
  const files = new Map(changed);
  if (rest.length > 0) {
    const target = exists(kernel, DIRECTORY) ? OURS : GRUB;
    const text = files.get(target) ?? "";
    files.set(target, added(text, target, rest));
  }
  return [...files].flatMap(([path, text]) =>
    changedFile(kernel, path, text) ?? []
  );
}

/** An assignment of a command line. */
interface Assignment {
  /** What is before the value, with its quote. */
  readonly head: string;
  readonly name: string;
  readonly value: string;
  readonly tail: string;
}

function assignments(text: string): string[] {
  return text.match(/^[ \t]*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=.*$/gm) ?? [];
}

function says(text: string, word: string): boolean {
  return assignments(text).some((line) =>
    mentions(line.replace(/^[^=]*=["']?/, "").replace(/["']\s*$/, ""), word)
  );
}

function parsed(line: string, path: string): Assignment {
  const [, name, quote, quoted, bare, tail] =
    /^[ \t]*(\w+)=(?:(["'])(.*?)\2|([^\s"'#;]*))(\s*(?:#.*)?)$/.exec(line) ??
      [];
  const value = quoted ?? bare;
  if (
    name === undefined || value === undefined || value.includes("\\") ||
    value.includes("`")
  ) {
    throw new VfioError("NOT_SUPPORTED", {
      problem: `${path} has a line that is not understood: ${line.trim()}`,
      hint: 'write it as NAME="words", in one line',
    });
  }
  const head = line.slice(0, line.indexOf("=") + 1) + (quote ?? '"');
  return { head, name, value, tail: `${quote ?? '"'}${tail ?? ""}` };
}

/** Replaces the value of a word in every assignment that has it. */
function replaced(text: string, path: string, word: string): string {
  return edited(
    text,
    path,
    ({ value }) => mentions(value, word) ? merged(value, [word]) : value,
  );
}

/** Adds words to the last assignment, or a new one. */
function added(text: string, path: string, words: readonly string[]): string {
  const names = assignments(text).map((line) => parsed(line, path).name);
  const name = names.includes(DEFAULT) ? DEFAULT : names.at(-1);
  if (name === undefined) {
    const isOurs = path === OURS;
    const before = isOurs ? `\${${DEFAULT}} ` : "";
    const title = isOurs ? "# For device passthrough.\n" : "";
    const start = text === "" || text.endsWith("\n") ? text : `${text}\n`;
    return `${start}${title}${DEFAULT}="${before}${words.join(" ")}"\n`;
  }
  const last = names.lastIndexOf(name);
  return edited(
    text,
    path,
    ({ value }, i) => i === last ? merged(value, words) : value,
  );
}

function edited(
  text: string,
  path: string,
  change: (assignment: Assignment, i: number) => string,
): string {
  let i = 0;
  return text.replaceAll(
    /^[ \t]*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=.*$/gm,
    (line) => {
      const assignment = parsed(line, path);
      const value = change(assignment, i++);
      return value === assignment.value
        ? line
        : `${assignment.head}${value}${assignment.tail}`;
    },
  );
}

/** Whether GRUB shows the entries of the Boot Loader Specification. */
export function usesEntries(kernel: Kernel): boolean {
  return /^\s*GRUB_ENABLE_BLSCFG=["']?true/m.test(textAt(kernel, GRUB) ?? "");
}
