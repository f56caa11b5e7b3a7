/**
 * Simulates `update-grub`, as far as the kernel's command line goes.
 *
 * @module
 */

import type { ProgramResult } from "../../kernel/kernel.ts";
import { O_CREAT, O_TRUNC, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import type { Machine } from "../machine/machine.ts";

const SETTINGS = "/etc/default/grub";
const DIRECTORY = `${SETTINGS}.d`;
/** What it writes. */
const CONFIG = "/boot/grub/grub.cfg";

/** Writes GRUB's configuration from its settings. */
export function makeGrubConfig({ init }: Machine): ProgramResult {
  const texts = [SETTINGS, ...namesIn(init.readdir.bind(init))]
    .map((path) => readable(() => init.readFile(path)) ?? "");
  const values = new Map<string, string>();
  const lines = texts.flatMap((text) => text.split("\n"));
  for (const line of lines) {
    const [, name, , value] = /^\s*(\w+)=(["']?)(.*)\2$/.exec(line) ?? [];
    if (name === undefined) continue;
    values.set(
      name,
      value!.replaceAll(/\$\{?(\w+)\}?/g, (_, name) => values.get(name) ?? ""),
    );
  }
  const words = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]
    .map((name) => values.get(name) ?? "").join(" ").trim();
  const fd = init.open(CONFIG, O_WRONLY | O_CREAT | O_TRUNC);
  init.write(fd, new TextEncoder().encode(`linux /vmlinuz ${words}\n`));
  init.close(fd);
  return { status: 0, output: "done\n" };
}

function namesIn(readdir: (path: string) => string[]): string[] {
  return (readable(() => readdir(DIRECTORY)) ?? [])
    .filter((name) => name.endsWith(".cfg"))
    .map((name) => `${DIRECTORY}/${name}`);
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
