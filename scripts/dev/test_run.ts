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
 * A failure outside of any test, such as a module that does not load, counts as
 * one.
 *
 * @param args flags and files
 * @param options as for `Deno.Command`; the output is inherited by default, and
 * a piped output is printed when the run ends
 */
export async function denoTest(
  args: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<Outcome> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const command = await deno(
      "test",
      // `deno task check` checks the types, which takes longer than most runs.
      ["--no-check", "--no-prompt", `--junit-path=${report}`, ...args],
      options,
    );
    const child = command.spawn();
    const [{ success }, ...texts] = await Promise.all([
      child.status,
      options.stdout === "piped" ? new Response(child.stdout).text() : "",
      options.stderr === "piped" ? new Response(child.stderr).text() : "",
    ]);
    const text = texts.join("").trimEnd();
    if (text !== "") console.log(text);
    const xml = await Deno.readTextFile(report);
    const outcome = readJunit(xml || "<testsuites></testsuites>");
    return success || outcome.failed > 0 ? outcome : sum([outcome, FAILED]);
  } finally {
    await Deno.remove(report);
  }
}
