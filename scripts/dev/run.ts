/**
 * Runs a script with the configuration that fits this machine:
 * `run.ts SCRIPT [ARGUMENT...]`.
 *
 * @module
 */
import { chooseConfig } from "./std.ts";

// The terminal interrupts the script as well, which may have things to put
// back: wait for it rather than leave it behind.
Deno.addSignalListener("SIGINT", () => {});

const child = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--config", await chooseConfig(), ...Deno.args],
}).spawn();
if (Deno.build.os !== "windows") { // which has no such signal
  Deno.addSignalListener("SIGTERM", () => child.kill("SIGTERM"));
}
Deno.exit((await child.status).code);
