/**
 * A shell, or a script, in one of the virtual machines the tests run in.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { setAccelerator } from "../tests/vm/accelerator.ts";
import { MachineError } from "../tests/vm/errors.ts";
import { runInGuest } from "../tests/vm/guest.ts";
import {
  ALL_MACHINES,
  type Device,
  type Machine,
  machineNamed,
} from "../tests/vm/machines.ts";
import { prepare } from "../tests/vm/prepare.ts";
import { cacheModules, denoCommand } from "../tests/vm/guest_deno.ts";

const USAGE = `deno task vm [OPTION...] [-- SCRIPT [ARGUMENT...]]

Boots a virtual machine on this machine's own root file system; what it
writes is gone when it is powered off.

Without a script: an interactive shell; "exit" ends it. With one: runs it as
deno run -A, and ends with its exit code.

  --machine NAME   which machine, ${ALL_MACHINES[0]!.name} unless given
  --accel NAME     how it is run: kvm, or tcg, which is emulation; the faster
                   one unless given
  --list           show the machines and their devices
  --help           show this`;

function devicesOf({ devices }: Machine): readonly Device[] {
  return devices;
}

async function main(): Promise<number> {
  const { machine: name, accel, list, help, _: operands, "--": rest } =
    parseArgs(
      Deno.args,
      {
        string: ["machine", "accel"],
        boolean: ["list", "help"],
        default: { machine: ALL_MACHINES[0]!.name },
        stopEarly: true,
        "--": true,
        unknown: (arg, key) => {
          if (key !== undefined) {
            throw new MachineError(`Unknown option ${arg}`);
          }
        },
      },
    );
  if (help) {
    console.log(USAGE);
    return 0;
  }
  if (list) {
    for (const { name, about } of ALL_MACHINES) {
      console.log(`${name.padEnd(16)} ${about}`);
    }
    for (const [devices, machines] of Map.groupBy(ALL_MACHINES, devicesOf)) {
      console.log(`\n${machines.map(({ name }) => name).join(", ")}:`);
      for (const { name, address, model } of devices) {
        console.log(`${name.padEnd(16)} ${address}  ${model.split(",")[0]}`);
      }
    }
    return 0;
  }
  setAccelerator(accel);
  const machine = machineNamed(name);
  const [script, ...args] = [...operands.map(String), ...rest];
  if (script === undefined && !Deno.stdin.isTerminal()) {
    throw new MachineError(
      "An interactive shell needs a terminal: give a script",
    );
  }
  await prepare([machine]);
  if (script === undefined) return await runInGuest(machine, {});
  await cacheModules([script]);
  return await runInGuest(machine, {
    command: denoCommand("run", [script, ...args]),
    stdout: (s) => s.pipeTo(Deno.stdout.writable, { preventClose: true }),
    stderr: (s) => s.pipeTo(Deno.stderr.writable, { preventClose: true }),
  });
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!(error instanceof MachineError)) throw error;
  console.error(error.message);
  Deno.exit(2);
}
