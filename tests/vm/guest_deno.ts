/**
 * Deno in a guest: under emulation everything is slow, so modules are fetched
 * and compiled on the host, into a cache that the guest sees.
 *
 * @module
 */
import { run } from "./command.ts";
import { CHECKOUT, denoDir } from "./guest.ts";

/** A guest has no network, so it must not ask JSR. */
const FLAGS = ["--no-lock", "--config", "deno.offline.json"];

/**
 * The command line that runs deno in a guest, from the checkout.
 *
 * @param subcommand Such as `test`.
 * @param args What follows the flags.
 * @returns The program and its arguments.
 */
export function denoCommand(
  subcommand: string,
  args: readonly string[],
): string[] {
  return [
    Deno.execPath(),
    subcommand,
    "-A",
    "--no-check",
    ...FLAGS,
    ...args,
  ];
}

/**
 * Fetches and compiles modules into the guests' cache.
 *
 * @param modules The modules that will be run in a guest.
 */
export async function cacheModules(modules: readonly string[]): Promise<void> {
  await run([Deno.execPath(), "cache", ...FLAGS, ...modules], {
    cwd: CHECKOUT,
    env: { DENO_DIR: denoDir() },
  });
}
