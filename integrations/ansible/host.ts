/**
 * The host that a module acts on.
 *
 * @module
 */

import { Host } from "../../lib/host/host.ts";
import type { Topology } from "../../lib/sim/mod.ts";
import { UsageError } from "../../scripts/passthru/command.ts";
import { readInput } from "../../scripts/passthru/run/input.ts";
import { parseJson } from "../../scripts/passthru/run/json.ts";
import type { Terminal } from "../../scripts/passthru/terminal/terminal.ts";
import type { Parameters } from "./parameters.ts";

/**
 * Acts on this host, or on the simulated one that the parameter `simulate`
 * names, in whose file what is changed is kept.
 *
 * @param parameters The parameters of the task.
 * @param terminal Reads and writes the file.
 * @param act What is done.
 */
export async function onHost<T>(
  parameters: Parameters,
  terminal: Terminal,
  act: (host: Host) => Promise<T>,
): Promise<T> {
  const path = parameters.path("simulate");
  if (path === undefined) return await act(new Host());
  const { keeping } = await import("../../scripts/passthru/run/keeping.ts");
  const host = await simulated(path, terminal);
  const save = (text: string) => terminal.save(path, text);
  return await keeping(host.machine, save, () => act(host));
}

async function simulated(path: string, terminal: Terminal) {
  const text = await readInput(terminal, path);
  const { simulate } = await import("../../lib/sim/mod.ts");
  try {
    return simulate(parseJson(text) as Topology);
  } catch (error) {
    throw new UsageError(
      `${path} is not a snapshot: ${(error as Error).message}`,
      "passthru snapshot makes one",
    );
  }
}
