/**
 * `passthru reset`
 *
 * @module
 */

import { toVfioError, VfioError } from "../../../lib/errors.ts";
import { Deadline } from "../../../lib/host/driver/deadline.ts";
import { refuseInUse } from "../../../lib/host/guards/refuse.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";
import { exists, sysfsError } from "../../../lib/host/sysfs.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
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
  const before = fn.resetMethods;
  const method = args.value("method") ?? before[0];
  if (!exists(host.kernel, `${fn.path}/reset`)) throw cannotReset(fn);
  if (args.value("method") !== undefined && !before.includes(method!)) {
    throw new VfioError("NOT_SUPPORTED", {
      device: fn.address,
      problem: `the kernel cannot reset it by ${method}`,
      hint: before.length === 0
        ? "before Linux 5.15 the method cannot be chosen"
        : `the kernel can reset it by ${before.join(", ")}`,
    });
  }
  const { signal } = terminal;
  const insist = args.values("insist");
  await fromUser(() => refuseInUse(host, [fn], insist, { signal }));
  terminal.progress(`resetting ${fn.address}`);
  await reset(fn, args.value("method") === undefined ? undefined : method);
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
    hint: fn.physicalFunction === undefined
      ? "a cold boot resets it; passthru doctor checks all functions for this"
      : "its physical function can be reset, with all its virtual functions",
  });
}

async function reset(
  fn: PciFunction,
  method: string | undefined,
): Promise<void> {
  const { kernel } = fn.host;
  const methods = `${fn.path}/reset_method`;
  const before = fn.resetMethods.join(" ");
  try {
    if (method !== undefined) kernel.writeFile(methods, method);
    try {
      const deadline = new Deadline({ timeout: TIMEOUT });
      await deadline.wait(
        kernel.writeFileAsync(`${fn.path}/reset`, "1"),
        () =>
          new VfioError("TIMED_OUT", {
            device: fn.address,
            problem: `its reset has not ended after ${deadline.timeout} ms`,
          }),
      );
    } finally {
      if (method !== undefined) kernel.writeFile(methods, before);
    }
  } catch (error) {
    throw toVfioError(sysfsError(error, fn.address), "reset", fn.address);
  }
}
