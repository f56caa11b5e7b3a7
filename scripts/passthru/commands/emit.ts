/**
 * `passthru emit`
 *
 * @module
 */

import { emit } from "../../../lib/handoff/emit.ts";
import type {
  HandoffFormat,
  HandoffOptions,
} from "../../../lib/handoff/format.ts";
import type { HostDevice } from "../../../lib/host/device.ts";
import type { Host } from "../../../lib/host/host.ts";
import { shortJson } from "../../../lib/printable.ts";
import { FILE } from "../../../lib/provision/state/rules.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { applyState } from "../run/applying.ts";
import { warnOfNotes } from "../run/notes.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Writes functions for those who take them. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [format, ...names] = args.operands as [HandoffFormat, ...string[]];
  if (names.length === 0) {
    throw new UsageError(
      "ADDRESS is missing",
      "passthru emit --help shows how it is called",
    );
  }
  const devices = names.map((name) => fromUser(() => host.find(target(name))));
  const options: HandoffOptions = {
    ...args.has("iommufd") && { iommufd: true },
    ...args.has("managed") && { managed: true },
    ...given(args, "name"),
    ...given(args, "node"),
    ...given(args, "consumer"),
    ...format === "systemd" && { command: await terminal.command() },
  };
  const { text, notes } = fromUser(() => emit(format, devices, options));
  const path = args.value("to");
  if (path !== undefined) {
    const state = stateOf(format, devices, path, options);
    const name = `passthru emit ${format} --to ${path}`;
    const code = await applyState(args, host, terminal, state, name);
    warnOfNotes(terminal, notes);
    return code;
  }
  if (args.has("json")) writeJson(terminal, { format, text, notes });
  else {
    terminal.write(text);
    warnOfNotes(terminal, notes);
  }
  return EXIT.DONE;
}

/** What `Host.find` takes for an operand. */
function target(name: string): string {
  return UUID.test(name) ? `/sys/bus/mdev/devices/${name.toLowerCase()}` : name;
}

function given(
  args: Arguments,
  option: "name" | "node" | "consumer",
): HandoffOptions {
  const value = args.value(option);
  return value === undefined ? {} : { [option]: value };
}

function stateOf(
  format: HandoffFormat,
  devices: readonly HostDevice[],
  path: string,
  options: HandoffOptions,
): DesiredState {
  if (!FILE.test(path)) {
    throw new UsageError(
      `--to is ${shortJson(path)}: expected an absolute path of a file, ` +
        "without . and .., as passthru restore needs",
    );
  }
  const on = (bus: string) =>
    devices.filter((device) => device.bus === bus).map(({ name }) => name);
  const functions = on("pci");
  const mediated = on("mdev");
  return {
    handoff: [{
      format,
      path,
      ...functions.length > 0 && { functions },
      ...mediated.length > 0 && { mediated },
      ...options,
    }],
  };
}
