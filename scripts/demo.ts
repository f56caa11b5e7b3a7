/**
 * `deno task demo`: attach, DMA and detach on a real kernel, by both backends.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { type BackendName, Host, type PciFunction, VfioError } from "../mod.ts";
import { setAccelerator } from "../tests/vm/accelerator.ts";
import { installPackages } from "../tests/vm/debian.ts";
import { MachineError } from "../tests/vm/errors.ts";
import { runInGuest } from "../tests/vm/guest.ts";
import { cacheModules, denoCommand } from "../tests/vm/guest_deno.ts";
import { type Machine, machineNamed, MACHINES } from "../tests/vm/machines.ts";
import { prepare } from "../tests/vm/prepare.ts";
import { objections } from "./demo/in_use.ts";
import { Report } from "./demo/report.ts";
import { demonstrate } from "./demo/story.ts";

const USAGE = `deno task demo [OPTION...]

Takes a PCI function from its driver, attaches it, moves data with it by DMA,
detaches it and gives it back; once by each backend. It happens in a virtual
machine, unless a device of this machine is named.

  --machine NAME    the virtual machine, ${MACHINES[0]!.name} unless given:
                    ${MACHINES.map(({ name }) => name).join(", ")}
  --device ADDRESS  a spare PCI function of this machine, such as 0000:01:00.0,
                    in place of a virtual machine. Nothing is written to a disk.
                    Refused are those that the machine uses, and a network
                    interface that is up.
  --backend NAME    only legacy, or only iommufd
  --accel NAME      how the virtual machine is run: kvm, or tcg, which is
                    emulation; found out unless given
  --help            show this`;

/** Part of the demo, in a virtual machine. */
const GUEST_SCRIPT = "scripts/demo/guest.ts";

const host = new Host();

interface Options {
  readonly help: boolean;
  readonly machine: Machine;
  readonly device: PciFunction | undefined;
  readonly backend: BackendName | undefined;
}

function options(): Options {
  const { help, machine, device, backend, accel } = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["machine", "device", "backend", "accel"],
    unknown: (argument) => {
      throw new TypeError(`Unknown argument: ${argument}`);
    },
  });
  for (
    const [name, value] of Object.entries({ machine, device, backend, accel })
  ) {
    if (value === "") throw new TypeError(`--${name} needs a value`);
  }
  if (machine !== undefined && device !== undefined) {
    throw new TypeError("Give --machine or --device, not both");
  }
  if (!["legacy", "iommufd", undefined].includes(backend)) {
    throw new TypeError(`There is no backend "${backend}"`);
  }
  setAccelerator(accel);
  return {
    help,
    machine: machine === undefined ? MACHINES[0]! : machineNamed(machine),
    device: device === undefined ? undefined : host.function(device),
    backend: backend as BackendName | undefined,
  };
}

/** The demo in a virtual machine, with whatever that needs. */
async function inGuest({ machine, backend }: Options): Promise<number> {
  // So that devices have names; the guest has this machine's files.
  await installPackages(["pci.ids"]);
  await prepare([machine]);
  await cacheModules([GUEST_SCRIPT]);
  console.log(`Booting ${machine.name} (${machine.about})`);
  console.log("All of it is emulated: on hardware each step is much quicker\n");
  return await runInGuest(machine, {
    command: denoCommand("run", [GUEST_SCRIPT, ...(backend ? [backend] : [])]),
    stdout: (s) => s.pipeTo(Deno.stdout.writable, { preventClose: true }),
    stderr: (s) => s.pipeTo(Deno.stderr.writable, { preventClose: true }),
  });
}

/** The demo on a function of this machine. */
async function here(
  device: PciFunction,
  { backend }: Options,
): Promise<number> {
  const uses = objections(device);
  if (uses.length > 0) {
    throw new VfioError("HOST_IN_USE", {
      device: device.address,
      problem: `this machine uses it: ${uses.join("; ")}`,
      hint: "name a function that nothing uses",
    });
  }
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      interrupt.abort(new MachineError("Interrupted: everything is put back"));
    });
  }
  await demonstrate(host, device, new Report(), {
    backend,
    scratch: false,
    signal: interrupt.signal,
  });
  return 0;
}

async function main(): Promise<number> {
  let chosen: Options;
  try {
    chosen = options();
  } catch (error) {
    if (error instanceof VfioError) throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const { help, device } = chosen;
  if (help) {
    console.log(USAGE);
    return 0;
  }
  return device === undefined
    ? await inGuest(chosen)
    : await here(device, chosen);
}

try {
  Deno.exit(await main());
} catch (error) {
  const expected = error instanceof VfioError || error instanceof MachineError;
  if (!expected) throw error;
  console.error(error.message);
  Deno.exit(1);
}
