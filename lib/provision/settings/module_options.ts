/**
 * The options of modules in modprobe's files.
 *
 * @module
 */

import type { Host } from "../../host/host.ts";
import { moduleSettings } from "../import/modprobe_files.ts";
import { kernelName } from "../steps/kinds/module.ts";
import { programPath } from "../steps/programs.ts";
import type { ConfigurationStep } from "../steps/step.ts";
import type { ModuleOptions } from "../state/state.ts";
import { changedFile, textAt } from "./files.ts";

/** The last that modprobe reads: it has the last word. */
const OURS = "/etc/modprobe.d/zz-passthru.conf";

/** What makes the initramfs, in which modules and their options are too. */
const INITRAMFS: readonly (readonly string[])[] = [
  ["update-initramfs", "-u"],
  ["dracut", "-f"],
  ["mkinitcpio", "-P"],
];

/**
 * Plans the change of modprobe's files so that they have options, each once.
 *
 * @param host The host.
 * @param wanted The options by module.
 */
export function moduleOptionSteps(
  host: Host,
  wanted: ModuleOptions,
): ConfigurationStep[] {
  const { kernel } = host;
  const texts = new Map<string, string>();
  const textOf = (path: string) =>
    texts.get(path) ?? textAt(kernel, path) ?? "";
  const settings = moduleSettings(host).filter(({ command, where }) =>
    command === "options" && where.startsWith("/etc/modprobe.d/")
  );
  for (const [module, options] of Object.entries(wanted)) {
    for (const [name, value] of Object.entries(options)) {
      const places = settings.filter((setting) =>
        setting.module === kernelName(module) &&
        setting.words.some((word) => optionOf(word) === kernelName(name))
      ).map(({ where }) => where);
      if (places.length === 0) {
        const text = textOf(OURS);
        texts.set(OURS, `${text}options ${module} ${name}=${value}\n`);
      }
      for (const path of places) {
        texts.set(path, replaced(textOf(path), module, name, value));
      }
    }
  }
  const files = [...texts].flatMap(([path, text]) =>
    changedFile(kernel, path, text) ?? []
  );
  const [first] = files;
  if (first === undefined) return [];
  return [{
    kind: "configuration",
    path: first.path,
    files,
    commands: initramfsCommand(host),
    settings: Object.entries(wanted).flatMap(([module, options]) =>
      Object.entries(options).map(([name, value]) =>
        `${module}.${name}=${value}`
      )
    ),
    atBoot: { moduleOptions: wanted },
    why: "modprobe loads the module with it",
  }];
}

function initramfsCommand({ kernel }: Host): string[][] {
  for (const [name, ...args] of INITRAMFS) {
    const path = programPath(kernel, name!);
    if (path !== undefined) return [[path, ...args]];
  }
  return [];
}

function optionOf(word: string): string {
  return kernelName(word.split("=")[0]!);
}

/** Replaces the value of an option in the lines that have it. */
function replaced(
  text: string,
  module: string,
  name: string,
  value: string,
): string {
  return text.replaceAll(
    /^([ \t]*options[ \t]+)([\w-]+)((?:\\\n|.)*)$/gm,
    (line, head: string, found: string, words: string) =>
      kernelName(found) === kernelName(module)
        ? `${head}${found}${
          words.replaceAll(
            /[^\s\\]+/g,
            (word) =>
              optionOf(word) === kernelName(name) ? `${name}=${value}` : word,
          )
        }`
        : line,
  );
}
