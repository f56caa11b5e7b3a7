/**
 * `passthru`: PCI functions and mediated devices for virtual machines.
 *
 *     deno install -g --allow-ffi --name passthru scripts/passthru.ts
 *
 * @module
 */

import { main } from "./passthru/main.ts";
import { processTerminal } from "./passthru/terminal/process_terminal.ts";

if (import.meta.main) {
  const interrupted = new AbortController();
  const interrupt = () => {
    // A second signal ends the process at once. `passthru restore` undoes what
    // is left.
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", interrupt);
    interrupted.abort();
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  const code = await main(Deno.args, processTerminal(interrupted.signal), {
    async host() {
      const { Host } = await import("../lib/host/host.ts");
      return new Host();
    },
    async simulated(snapshot) {
      const { simulate } = await import("../lib/sim/mod.ts");
      return simulate(snapshot as Parameters<typeof simulate>[0]);
    },
  });
  Deno.exit(code);
}
