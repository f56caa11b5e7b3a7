/**
 * `passthru reset`
 *
 * @module
 */

import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { toVfioError, VfioError } from "../../../lib/errors.ts";
import { Deadline } from "../../../lib/host/driver/deadline.ts";
import { refuseInUse } from "../../../lib/host/guards/refuse.ts";
import type { Host } from "../../../lib/host/host.ts";
import { functionsOfBus } from "../../../lib/host/pci/topology/bus_reset.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";
import { withResetMethod } from "../../../lib/host/pci/reset_method.ts";
import { exists, sysfsError } from "../../../lib/host/sysfs.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { stepLine } from "../run/applying.ts";
import { takeForVfio } from "../run/taking.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

/**
 * How long a reset may take, in milliseconds. A bus reset waits for all devices
 * of the bus.
 */
const TIMEOUT = 60_000;

/** Resets a function. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const fn = fromUser(() => host.function(args.operands[0]!));
  return args.has("hot")
    ? await resetBus(args, host, fn, terminal)
    : await resetAlone(args, host, fn, terminal);
}

async function resetAlone(
  args: Arguments,
  host: Host,
  fn: PciFunction,
  terminal: Terminal,
): Promise<number> {
  const asked = args.value("method");
  const method = asked ?? fn.resetMethods[0];
  if (!exists(host.kernel, `${fn.path}/reset`)) throw cannotReset(fn);
  const { signal } = terminal;
  const insist = args.values("insist");
  await fromUser(() => refuseInUse(host, [fn], insist, { signal }));
  terminal.progress(`resetting ${fn.address}`);
  await (asked === undefined
    ? reset(fn)
    : withResetMethod(fn, asked, () => reset(fn)));
  if (args.has("json")) {
    writeJson(terminal, { address: fn.address, method: method ?? null });
  } else {
    terminal.write(
      `${fn.address} was reset${method === undefined ? "" : ` by ${method}`}\n`,
    );
  }
  return EXIT.DONE;
}

function cannotReset(fn: PciFunction): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: "the kernel has no method to reset it",
    hint: fn.physicalFunction !== undefined
      ? "its physical function can be reset, with all its virtual functions"
      : functionsOfBus(fn) === undefined
      ? "a cold boot resets it; passthru doctor checks all functions for this"
      : `reset it with its bus: passthru reset --hot ${fn.address}`,
  });
}

async function reset(fn: PciFunction): Promise<void> {
  try {
    const deadline = new Deadline({ timeout: TIMEOUT });
    await deadline.wait(
      fn.host.kernel.writeFileAsync(`${fn.path}/reset`, "1"),
      () =>
        new VfioError("TIMED_OUT", {
          device: fn.address,
          problem: `its reset has not ended after ${deadline.timeout} ms`,
        }),
    );
  } catch (error) {
    throw toVfioError(sysfsError(error, fn.address), "reset", fn.address);
  }
}

/** Resets a function's bus: takes and attaches all that is on it meanwhile. */
async function resetBus(
  args: Arguments,
  host: Host,
  fn: PciFunction,
  terminal: Terminal,
): Promise<number> {
  if (args.value("method") !== undefined) {
    throw new UsageError("--method is for a reset without --hot");
  }
  const functions = functionsOfBus(fn) ?? [fn];
  await using _ = await fromUser(() =>
    takeForVfio(host, functions, {
      insist: args.values("insist"),
      name: "passthru reset",
      signal: terminal.signal,
      onStep: (event) => terminal.progress(stepLine(event)),
    })
  );
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach(fn, space);
  for (const other of functions) {
    if (other.address !== fn.address) await VfioDevice.attach(other, space);
  }
  terminal.progress(`resetting the bus of ${fn.address}`);
  await device.hotReset.reset();
  terminal.progress(undefined);
  const addresses = functions.map(({ address }) => address);
  if (args.has("json")) {
    writeJson(terminal, { address: fn.address, hot: addresses });
  } else {
    terminal.write(
      `the bus of ${fn.address} was reset: ${addresses.join(", ")}\n`,
    );
  }
  return EXIT.DONE;
}
