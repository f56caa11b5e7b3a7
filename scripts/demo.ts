/**
 * `deno task demo`: shows attach, DMA and detach by both backends, at once on a
 * simulated host and then on real kernels.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { type BackendName, Host, VfioError } from "../mod.ts";
import { setAccelerator } from "../tests/vm/accelerator.ts";
import { MachineError } from "../tests/vm/errors.ts";
import { type Machine, machineNamed, MACHINES } from "../tests/vm/machines.ts";
import { demonstrateHere } from "./demo/here.ts";
import { inMachine, inMachines } from "./demo/order.ts";
import { simulated } from "./demo/simulated.ts";
import { STAGE, withCleanup } from "./demo/stage.ts";

const USAGE = `deno task demo [OPTION...]

Takes a PCI function from its driver, attaches it, moves data with it by DMA,
detaches it and gives it back:

  1. on a simulated host, at once: every line of it begins with "sim";
  2. on a real kernel of Debian, in a virtual machine, by the legacy backend,
     while a kernel with iommufd is built; only where that is not built yet;
  3. on that kernel, by both backends, and through a plan for a QEMU in it.

  --quick           only 1: nothing is installed, nothing is downloaded
  --machine NAME    only that virtual machine:
                    ${MACHINES.map(({ name }) => name).join(", ")}
  --device ADDRESS  only a spare PCI function of this machine, such as
                    0000:01:00.0. Nothing is written to a disk. A
                    function that the machine uses is refused, and so is a
                    network interface that is up.
  --backend NAME    only legacy, for which no kernel is built, as Debian's has
                    it; or only iommufd, without 2
  --accel NAME      how virtual machines are run: kvm, or tcg, which is
                    emulation; the faster one unless given
  --help            show this`;

interface Options {
  readonly help: boolean;
  readonly quick: boolean;
  readonly machine: Machine | undefined;
  readonly device: string | undefined;
  readonly backend: BackendName | undefined;
}

function options(): Options {
  const { help, quick, machine, device, backend, accel } = parseArgs(
    Deno.args,
    {
      boolean: ["help", "quick"],
      string: ["machine", "device", "backend", "accel"],
      unknown: (argument) => {
        throw new TypeError(`Unknown argument: ${argument}`);
      },
    },
  );
  for (
    const [name, value] of Object.entries({ machine, device, backend, accel })
  ) {
    if (value === "") throw new TypeError(`--${name} needs a value`);
  }
  const places = Object.entries({ quick, machine, device })
    .flatMap(([name, value]) => value ? [`--${name}`] : []);
  if (places.length > 1) {
    throw new TypeError(`Give ${places.slice(0, 2).join(" or ")}, not both`);
  }
  if (!["legacy", "iommufd", undefined].includes(backend)) {
    throw new TypeError(`There is no backend "${backend}"`);
  }
  setAccelerator(accel);
  return {
    help,
    quick,
    machine: machine === undefined ? undefined : machineNamed(machine),
    device: device === undefined
      ? undefined
      : new Host().function(device).address,
    backend: backend as BackendName | undefined,
  };
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
  const { help, quick, machine, device, backend } = chosen;
  if (help) {
    console.log(USAGE);
    return 0;
  }
  if (device !== undefined) {
    await demonstrateHere(device, backend);
    return 0;
  }
  if (machine !== undefined) {
    return await withCleanup(() => inMachine(STAGE, machine, backend));
  }
  await simulated(backend);
  return quick ? 0 : await withCleanup(() => inMachines(STAGE, backend));
}

try {
  Deno.exit(await main());
} catch (error) {
  const expected = error instanceof VfioError || error instanceof MachineError;
  if (!expected) throw error;
  console.error(error.message);
  Deno.exit(1);
}
