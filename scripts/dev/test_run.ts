/**
 * `deno test`, with its outcome counted.
 *
 * @module
 */
import { FAILED, type Outcome, readJunit, sum } from "./outcome.ts";
import { deno } from "./deno.ts";

/**
 * Runs `deno test` and counts what ran.
 *
 * What no test can report, such as a module that does not load, counts as
 * one failure.
 *
 * @param args flags and files
 * @param options as for `Deno.Command`; the output is inherited by default
 */
export async function denoTest(
  args: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<Outcome> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const command = await deno(
      "test",
      ["--no-prompt", `--junit-path=${report}`, ...args],
      options,
    );
    const { success } = await command.spawn().status;
    const xml = await Deno.readTextFile(report);
    const outcome = readJunit(xml || "<testsuites></testsuites>");
    return success || outcome.failed > 0 ? outcome : sum([outcome, FAILED]);
  } finally {
    await Deno.remove(report);
  }
}
