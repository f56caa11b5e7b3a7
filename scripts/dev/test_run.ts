/**
 * `deno test`, with its outcome counted.
 *
 * @module
 */
import { countJunit, type Counts, sum } from "./counts.ts";
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
): Promise<Counts> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const command = await deno(
      "test",
      ["--no-prompt", `--junit-path=${report}`, ...args],
      options,
    );
    const { success } = await command.spawn().status;
    const xml = await Deno.readTextFile(report);
    const counts = countJunit(xml || "<testsuites></testsuites>");
    return success || counts.failed > 0
      ? counts
      : sum([counts, { passed: 0, failed: 1, ignored: 0 }]);
  } finally {
    await Deno.remove(report);
  }
}
