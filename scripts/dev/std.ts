/**
 * Which `@std` the developer tasks run with: the real packages, or the
 * stand-ins of `tests/offline_std/` on a machine that does not reach JSR.
 *
 * This module and `run.ts` import nothing, as they run before that is known.
 *
 * @module
 */

/** The environment variable that passes the choice to child processes. */
const CHOICE = "PASSTHRU_DENO_CONFIG";

/** How long JSR may take to answer, in milliseconds. */
const PATIENCE = 3000;

/** Whether JSR answers here. */
async function reachesJsr(): Promise<boolean> {
  const registry = Deno.env.get("JSR_URL") ?? "https://jsr.io/";
  try {
    const response = await fetch(new URL("@std/assert/meta.json", registry), {
      signal: AbortSignal.timeout(PATIENCE),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/**
 * The configuration to start deno with, from the checkout's root.
 *
 * Asks JSR once, and keeps the answer in the environment for child processes.
 * Set `PASSTHRU_DENO_CONFIG` to choose by hand.
 *
 * @returns `deno.json` or `deno.offline.json`
 */
export async function chooseConfig(): Promise<string> {
  let config = Deno.env.get(CHOICE);
  if (config === undefined) {
    config = "deno.json";
    if (!await reachesJsr()) {
      config = "deno.offline.json";
      console.error(`jsr is out of reach: using ${config}`);
    }
    Deno.env.set(CHOICE, config);
  }
  return config;
}
