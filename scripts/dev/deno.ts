/**
 * Deno, started as the developer tasks start it.
 *
 * @module
 */
import { chooseConfig } from "./std.ts";

/** The checkout. */
export const ROOT: URL = new URL("../../", import.meta.url);

/**
 * A deno command in the checkout, with the configuration that fits this
 * machine.
 *
 * @param subcommand such as `test`
 * @param args what follows `--config`
 * @param options as for `Deno.Command`; the output is inherited by default
 */
export async function deno(
  subcommand: string,
  args: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<Deno.Command> {
  // Deno.execPath(), as `npx deno` puts no deno on the PATH.
  return new Deno.Command(Deno.execPath(), {
    args: [subcommand, "--config", await chooseConfig(), ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
    ...options,
  });
}
