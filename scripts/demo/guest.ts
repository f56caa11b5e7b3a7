/**
 * The demo's part in a virtual machine, whose disks are thrown away: `guest.ts
 * PART [BACKEND]`. The part is `story`, or `whole`, in which a plan also hands
 * the function to a virtual machine.
 *
 * @module
 */
import { type BackendName, Host, VfioError } from "../../mod.ts";
import { currentMachine, guestQemu } from "../../tests/vm/machine_env.ts";
import { Report } from "./report.ts";
import { demonstrate } from "./story.ts";

const machine = currentMachine();
if (machine === undefined) throw new Error("Not in a virtual machine");
const { program, args } = guestQemu()!;
const host = new Host();
const address = machine.devices.nvme0!;
const [part, wanted] = Deno.args;
const backend = wanted ? wanted as BackendName : undefined;
const report = new Report();
try {
  await demonstrate(host, host.function(address), report, {
    backend,
    scratch: true,
  });
  if (part === "whole") {
    // Loaded only when it is needed, so that the story starts sooner.
    const { main: handToQemu, qemu } = await import(
      "../../examples/hand_to_qemu.ts"
    );
    report.heading("by a plan, for a virtual machine in this one");
    await handToQemu(host, address, {
      by: backend ?? machine.backends.at(-1)!,
      runQemu: qemu(program, ...args),
    });
  }
} catch (error) {
  if (!(error instanceof VfioError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
