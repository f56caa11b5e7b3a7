/**
 * The demo on a host that exists in memory only: at once, on any system, with
 * no permission.
 *
 * @module
 */
import { simulate } from "../../lib/sim/mod.ts";
import type { BackendName } from "../../mod.ts";
import { Report } from "./report.ts";
import { demonstrate } from "./story.ts";

const FUNCTION = "0000:01:00.0";

/**
 * Shows the story on a simulated host. Every line says that it is simulated.
 *
 * @param backend The only backend. Default: both.
 * @param print Prints a line.
 */
export async function simulated(
  backend?: BackendName,
  print: (line: string) => void = console.log,
): Promise<void> {
  const host = simulate({
    functions: { [FUNCTION]: { model: "edu", driver: "edu" } },
  });
  print("══ Simulated: a host in this process's memory. No kernel, no device");
  const report = new Report((text) => {
    for (const line of text.split("\n")) print(`sim  ${line}`.trimEnd());
  });
  const fn = host.function(FUNCTION);
  await demonstrate(host, fn, report, { backend, scratch: false });
}
