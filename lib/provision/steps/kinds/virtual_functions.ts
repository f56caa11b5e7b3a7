/**
 * Steps that create and remove virtual functions.
 *
 * @module
 */

import {
  DriverMove,
  type DriverState,
  readDriverState,
} from "../../../host/driver/driver.ts";
import type { PciFunction } from "../../../host/pci/function.ts";
import { VfioError } from "../../../errors.ts";
import { hasErrno } from "../../../kernel/errno.ts";
import { exists } from "../../../host/sysfs.ts";
import { inTurn } from "../../../host/driver/exclusive.ts";
import { counted } from "../../../text.ts";
import { functionIfThere } from "../functions.ts";
import type { VirtualFunctionsStep } from "../step.ts";
import { read, write } from "./attribute.ts";
import { bringBack } from "./driver.ts";
import { changed, late, type StepKind, type Work } from "../kind.ts";

/** The former virtual functions, and how each was bound. */
export interface VirtualFunctionsBefore {
  /** How many. */
  readonly count: number;
  /** How each was bound, by its address. */
  readonly functions: Readonly<Record<string, DriverState>>;
}

/** Steps that create and remove virtual functions. */
export const virtualFunctionsKind: StepKind<
  VirtualFunctionsStep,
  VirtualFunctionsBefore
> = {
  async holds(work, { device, count }) {
    return await present(work, work.host.function(device)) === count;
  },

  async capture(work, { device }) {
    const fn = work.host.function(device);
    const states: [string, DriverState][] = [];
    for (const each of fn.virtualFunctions) {
      states.push([each.address, await readDriverState(each, work.deadline)]);
    }
    const count = await present(work, fn);
    return { count, functions: Object.fromEntries(states) };
  },

  async make(work, { device, count }) {
    await configure(work, work.host.function(device), count);
  },

  async undo(work, { device, count }, before) {
    const { host } = work;
    const fn = functionIfThere(host, device);
    if (fn === undefined) return;
    const now = await present(work, fn);
    // The number may be 0 meanwhile: a driver that was unbound may have removed
    // them, and the kernel changes the number only from and to 0.
    if (![count, before.count, 0].includes(now)) {
      throw changed(
        device,
        `the number of its virtual functions became ${now}`,
      );
    }
    if (now !== before.count) await configure(work, fn, before.count);
    for (const [address, state] of Object.entries(before.functions)) {
      const virtual = functionIfThere(host, address);
      if (virtual === undefined) continue;
      await bringBack(
        work,
        virtual,
        state,
        await readDriverState(virtual, work.deadline),
      );
    }
  },
};

async function present(work: Work, fn: PciFunction): Promise<number> {
  return Number(await read(work, countPath(fn), fn.address));
}

function countPath({ path }: PciFunction): string {
  return `${path}/sriov_numvfs`;
}

/** Changes the number of virtual functions, through 0 if there are some. */
async function configure(
  work: Work,
  fn: PciFunction,
  count: number,
): Promise<void> {
  const { address, host: { kernel } } = fn;
  const { deadline } = work;
  const old = fn.virtualFunctions;
  for (const virtual of old) {
    // The kernel would wait without a time limit for a process that has it
    // open.
    await inTurn(
      virtual,
      deadline,
      (turn) => new DriverMove(virtual, deadline, turn).released(),
    );
  }
  if (await present(work, fn) > 0) {
    await setCount(work, fn, 0);
    await deadline.until(
      () => old.some(({ path }) => exists(kernel, path)) ? undefined : true,
      () => late(address, "its virtual functions were not removed", deadline),
    );
  }
  if (count === 0) return;
  await setCount(work, fn, count);
  await deadline.until(
    () => fn.virtualFunctions.length === count ? true : undefined,
    () =>
      late(
        address,
        `${counted(count, "virtual function")} did not appear`,
        deadline,
      ),
  );
}

async function setCount(
  work: Work,
  fn: PciFunction,
  count: number,
): Promise<void> {
  try {
    await write(work, countPath(fn), String(count), fn.address);
  } catch (error) {
    throw refusal(fn, count, error);
  }
}

/** What the kernel's answer means here (`sriov_numvfs_store()`). */
function refusal(fn: PciFunction, count: number, error: unknown): unknown {
  const cause = error instanceof VfioError ? error.cause : undefined;
  const { address: device, driver } = fn;
  if (hasErrno(cause, "ENOENT") && exists(fn.host.kernel, countPath(fn))) {
    return new VfioError("DRIVER_FAILED", {
      device,
      problem: driver === undefined
        ? "no driver has it, and only its driver makes virtual functions"
        : `${driver} makes no virtual functions when it is asked to`,
      hint: "some drivers make them by a parameter of their module: " +
        `modinfo ${driver ?? "DRIVER"}`,
      cause,
    });
  }
  if (hasErrno(cause, "ENOSPC")) {
    return new VfioError("NOT_SUPPORTED", {
      device,
      problem: "its driver has too few interrupts left for " +
        `${counted(count, "virtual function")}`,
      hint: "ask for fewer, or keep other drivers of the card from taking " +
        "interrupts, such as irdma with ice; look in the kernel's log: " +
        `dmesg | grep ${device}`,
      cause,
    });
  }
  if (hasErrno(cause, "EIO")) {
    return new VfioError("NOT_SUPPORTED", {
      device,
      problem: "one of its virtual functions does not answer at its address",
      hint: "ask for fewer, or put the card behind a port that forwards ARI; " +
        `look in the kernel's log: dmesg | grep ${device}`,
      cause,
    });
  }
  if (hasErrno(cause, "ENOMEM")) {
    return new VfioError("NOT_SUPPORTED", {
      device,
      problem: "the kernel has no room for its virtual functions: no " +
        "addresses for their BARs, or no bus numbers",
      hint: `look in its log: dmesg | grep ${device}`,
      cause,
    });
  }
  return error;
}
