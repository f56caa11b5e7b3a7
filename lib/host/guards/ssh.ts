/**
 * The SSH session that this process is part of.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { readable } from "../openers.ts";

/** An SSH session. */
export interface SshSession {
  /** The address that it comes from. */
  readonly client: string;
  /** The address of this host that it goes to. */
  readonly server: string;
}

/**
 * The SSH sessions that this process is part of, from its environment and those
 * of its ancestors, since `sudo` clears the environment of its child. A user
 * other than root cannot see those of other users' processes.
 *
 * @param kernel The system.
 */
export function sshSessions(kernel: Kernel): SshSession[] {
  const found = new Map<string, SshSession>();
  for (const process of ancestry(kernel)) {
    const environment = readable(() =>
      kernel.readFile(`/proc/${process}/environ`)
    ) ?? "";
    const [, connection] = /(?:^|\0)SSH_CONNECTION=([^\0]*)/
      .exec(environment) ?? [];
    const [client, , server] = connection?.split(" ") ?? [];
    if (client !== undefined && server !== undefined) {
      found.set(`${client} ${server}`, { client, server });
    }
  }
  return [...found.values()];
}

/** This process, its parent, and so on. */
function* ancestry(kernel: Kernel): Generator<string> {
  const seen = new Set<string>();
  for (let process = "self"; !seen.has(process);) {
    yield process;
    seen.add(process);
    const status = readable(() => kernel.readFile(`/proc/${process}/status`));
    const [, parent = "0"] = /^PPid:\s*(\d+)$/m.exec(status ?? "") ?? [];
    if (parent === "0") return;
    process = parent;
  }
}
