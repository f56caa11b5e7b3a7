/**
 * `passthru`: PCI functions and mediated devices for virtual machines.
 *
 *     deno install -g --allow-ffi --name passthru scripts/passthru.ts
 *
 * @module
 */

import { main } from "./passthru/main.ts";
import { CommandInterruption } from "./passthru/run/interruption.ts";
import { processTerminal } from "./passthru/terminal/process_terminal.ts";

if (import.meta.main) {
  const interruption = new CommandInterruption();
  const terminal = processTerminal(interruption.signal);
  const code = await main(Deno.args, terminal, {
    async host() {
      // First, as it loads at once what both need.
      const { Host } = await import("../lib/host/host.ts");
      await interruption.start();
      return new Host();
    },
    async simulated(snapshot) {
      await interruption.start();
      const { simulatedHost } = await import(
        "./passthru/run/simulated_host.ts"
      );
      return simulatedHost(snapshot);
    },
  });
  Deno.exit(code);
}
