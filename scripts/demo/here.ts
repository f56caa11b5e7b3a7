/**
 * The demo on a function of this machine.
 *
 * @module
 */
import { onEndSignal } from "../../lib/kernel/interruption.ts";
import { type BackendName, Host, VfioError } from "../../mod.ts";
import { MachineError } from "../../tests/vm/errors.ts";
import { objections } from "./in_use.ts";
import { Report } from "./report.ts";
import { demonstrate } from "./story.ts";

/**
 * Shows the story on a function of this machine that nothing uses.
 *
 * @param address Its address.
 * @param backend The only backend. Default: each that the host has.
 */
export async function demonstrateHere(
  address: string,
  backend?: BackendName,
): Promise<void> {
  const host = new Host();
  const fn = host.function(address);
  const uses = objections(fn);
  if (uses.length > 0) {
    throw new VfioError("HOST_IN_USE", {
      device: fn.address,
      problem: `this machine uses it: ${uses.join("; ")}`,
      hint: "name a function that nothing uses",
    });
  }
  const interrupt = new AbortController();
  using _ = onEndSignal(() =>
    interrupt.abort(new MachineError("Interrupted: everything is put back"))
  );
  await demonstrate(host, fn, new Report(), {
    backend,
    scratch: false,
    signal: interrupt.signal,
  });
}
