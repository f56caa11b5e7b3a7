/**
 * Looks users and groups up by name in the host's files.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent } from "../../host/sysfs.ts";

/**
 * Returns the id of a user or a group.
 *
 * @param kernel The system.
 * @param kind Whether it is a user or a group.
 * @param name Its name, or its id.
 * @param at Its place in the state, for errors.
 * @throws {VfioError} `NOT_SUPPORTED` when the host has none of that name.
 */
export function idOf(
  kernel: Kernel,
  kind: "user" | "group",
  name: string | number,
  at: string,
): number {
  if (/^\d+$/.test(String(name))) return Number(name);
  const file = kind === "user" ? "/etc/passwd" : "/etc/group";
  const text = ifPresent(() => kernel.readFile(file)) ?? "";
  const line = text.split("\n").find((line) => line.startsWith(`${name}:`));
  const id = line?.split(":")[2];
  if (id !== undefined) return Number(id);
  throw new VfioError("NOT_SUPPORTED", {
    problem: `there is no ${kind} ${name} in ${file} (${at})`,
    hint: `create it, or give its id where it is defined elsewhere: id ${
      kind === "user" ? "-u" : "-g"
    } ${name}`,
  });
}
