/**
 * The demo's part in a virtual machine, whose disks are thrown away:
 * `guest.ts [BACKEND]`.
 *
 * @module
 */
import { type BackendName, Host, VfioError } from "../../mod.ts";
import { currentMachine } from "../../tests/vm/machine_env.ts";
import { Report } from "./report.ts";
import { demonstrate } from "./story.ts";

const machine = currentMachine();
if (machine === undefined) throw new Error("Not in a virtual machine");
const host = new Host();
try {
  await demonstrate(host, host.function(machine.devices.nvme0!), new Report(), {
    backend: Deno.args[0] as BackendName | undefined,
    scratch: true,
  });
} catch (error) {
  if (!(error instanceof VfioError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
