/**
 * Reads the settings of modules, as modprobe does (modprobe.d(5)), and those of
 * the kernel's command line.
 *
 * @module
 */

import type { Host } from "../../host/host.ts";
import { basename } from "../../host/path.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { filesIn } from "./found.ts";

/** A directory hides a file of the same name in a later one. */
const DIRECTORIES: readonly string[] = [
  "/etc/modprobe.d",
  "/run/modprobe.d",
  "/usr/local/lib/modprobe.d",
  "/usr/lib/modprobe.d",
  "/lib/modprobe.d",
];

/** A line of a file. */
export interface Setting {
  /** The file. */
  readonly where: string;
  /** Its first word: `"options"`, `"softdep"`, `"blacklist"`. */
  readonly command: string;
  /** The module, as the kernel writes it: `"vfio_pci"`. */
  readonly module: string;
  /** The words after it. */
  readonly words: readonly string[];
}

/** All settings, in the order in which they take effect. */
export function moduleSettings(host: Host): Setting[] {
  const byName = new Map<string, { path: string; text: string }>();
  for (const directory of DIRECTORIES) {
    for (const file of filesIn(host, directory, isConf)) {
      const name = basename(file.path);
      if (!byName.has(name)) byName.set(name, file);
    }
  }
  const files = [...byName].sort(([a], [b]) => a < b ? -1 : 1);
  return [
    ...files.flatMap(([, { path, text }]) => settingsIn(path, text)),
    ...commandLine(host),
  ];
}

function isConf(name: string): boolean {
  return name.endsWith(".conf");
}

function settingsIn(where: string, text: string): Setting[] {
  return text.replaceAll(/\\\n/g, " ").split("\n").flatMap((line) => {
    const [command = "", module = "", ...words] = line.trim().split(/\s+/);
    if (command === "" || command.startsWith("#")) return [];
    return [{ where, command, module: kernelName(module), words }];
  });
}

function commandLine({ kernel }: Host): Setting[] {
  const where = "/proc/cmdline";
  const text = ifPresent(() => kernel.readFile(where)) ?? "";
  const words = text.match(/(?:"[^"]*"|[^\s"])+/g) ?? [];
  return words.flatMap((word) => {
    const [, module, option] =
      /^"?([\w-]+)\.([^"]*(?:"[^"]*"?)*)$/.exec(word) ??
        [];
    if (module === undefined || option === undefined) return [];
    return [{
      where,
      command: "options",
      module: kernelName(module),
      words: [option.replaceAll('"', "")],
    }];
  });
}

function kernelName(module: string): string {
  return module.replaceAll("-", "_");
}
