/**
 * Runs a script with the configuration that fits this machine:
 * `run.ts SCRIPT [ARGUMENT...]`.
 *
 * @module
 */
import { chooseConfig } from "./std.ts";

// Ctrl-C interrupts the script as well, which may have things to put back. This
// process waits until it ends.
Deno.addSignalListener("SIGINT", () => {});

const child = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--config", await chooseConfig(), ...Deno.args],
}).spawn();
if (Deno.build.os !== "windows") { // Windows has no SIGTERM
  Deno.addSignalListener("SIGTERM", () => child.kill("SIGTERM"));
}
Deno.exit((await child.status).code);
