/**
 * `passthru apply`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { persist } from "../../../lib/provision/boot/persist.ts";
import { applyState, showPlan } from "../run/applying.ts";
import { type Arguments, fromUser } from "../command.ts";
import { readState } from "../run/state_file.ts";
import { watchState } from "../run/watching.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Applies a state file. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [path] = args.operands;
  const state = await readState(terminal, path!);
  if (args.has("dry-run")) return showPlan(args, host, terminal, state);
  const bootName = args.value("at-boot");
  const name = bootName ?? args.value("name") ?? `passthru apply ${path}`;
  if (bootName === undefined) {
    return args.has("watch")
      ? await watchState(args, host, terminal, state, name)
      : await applyState(args, host, terminal, state, name);
  }
  const command = await terminal.command();
  const { signal } = terminal;
  let unit: string | undefined;
  let warnings: readonly string[] = [];
  // A state that cannot be applied now is not applied at boot either.
  const keep = async () => {
    const persisted = await fromUser(() =>
      persist(host, state, bootName, {
        command,
        signal,
        watch: args.has("watch"),
      })
    );
    ({ unit, warnings } = persisted);
  };
  const code = await applyState(args, host, terminal, state, name, keep);
  for (const warning of warnings) {
    terminal.warn(`warning: ${unit} runs as root, and ${warning}\n`);
  }
  terminal.warn(
    `${unit} applies it at boot; now run: systemctl daemon-reload\n`,
  );
  return code;
}
