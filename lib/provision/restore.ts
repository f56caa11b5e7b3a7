/**
 * Undoes what was applied to a host, and what scripts have taken.
 *
 * @module
 */

import { toVfioError, VfioError } from "../errors.ts";
import { Deadline, type WaitOptions } from "../host/driver/deadline.ts";
import type { Host } from "../host/host.ts";
import { basename } from "../host/path.ts";
import { formatPciAddress, parsePciAddress } from "../pci/address.ts";
import { functionIfThere } from "./steps/functions.ts";
import { logSteps } from "./journal/change_log.ts";
import { Listener } from "./journal/callback.ts";
import { heldSteps } from "./journal/held.ts";
import { LaterChanges } from "./journal/superseded.ts";
import { locked } from "../host/journal/lock.ts";
import {
  allJournals,
  type StepEntry,
  type StepJournal,
} from "./journal/journals.ts";
import type { Step } from "./steps/step.ts";
import { type LeftStep, undoSteps } from "./journal/undo.ts";

/** How the host is brought back. */
export interface RestoreOptions extends WaitOptions {
  /**
   * Restores only these devices, by address, UUID, or path in sysfs. A function
   * includes its virtual functions, and what hands it over. Default: all
   * devices.
   */
  readonly devices?: readonly string[];
  /** Restores only what was applied under this name. Default: everything. */
  readonly name?: string;
  /**
   * Whether what the kernel has only from its next boot on stays: words of its
   * command line and options of modules. Default: false.
   */
  readonly keepBootSettings?: boolean;
  /**
   * Called for each step once it is undone. An error that it throws stops
   * nothing. It is thrown at the end, when everything else is undone.
   *
   * @param step The step.
   */
  readonly onUndone?: (step: Step) => void;
}

/** What was undone, and what was not. */
export interface Restored {
  /** The steps that were undone, in that order. */
  readonly undone: readonly Step[];
  /**
   * The steps that were not undone, and why: `WRONG_DRIVER` and `CHANGED` where
   * somebody else has changed the device since, `DEVICE_BUSY` where a process
   * uses it, or has taken it and still runs. They stay in the journal, and
   * the next restore tries again.
   */
  readonly left: readonly LeftStep[];
  /**
   * The journals that cannot be read. They stay as they are, and so does what
   * they record, until {@linkcode forget} drops them.
   */
  readonly damaged: readonly DamagedJournal[];
}

/** A journal that cannot be read. */
export interface DamagedJournal {
  /** Its name, which {@linkcode forget} takes: `"apply-3"`. */
  readonly id: string;
  /** What is wrong: `JOURNAL_DAMAGED`, or `NOT_SUPPORTED` for its version. */
  readonly error: VfioError;
}

/**
 * Lists the journals that cannot be read.
 *
 * @param host The host.
 * @throws {VfioError} `PERMISSION_DENIED` when this user may not read them.
 */
export function damagedJournals(host: Host): DamagedJournal[] {
  return allJournals(host.kernel).flatMap(({ id, damage }) =>
    damage === undefined ? [] : { id, error: damage }
  );
}

/**
 * Brings the host back to how it was before {@linkcode apply}, and before
 * `Host.take()` where the process that took has ended without giving back. It
 * works in another process too, and after the first one was killed at any
 * point. The last change is undone first, each step by the journal. Steps that are undone
 * already are skipped. After a failure it goes on with the other steps, and
 * after a damaged journal with the others.
 *
 * @param host The host.
 * @param options Which devices, a signal, and a time limit in milliseconds for
 * the wait for another process and for each step.
 * @returns What was undone and what was not.
 * @throws {VfioError} `LOCKED` when another process is changing the host,
 * `PERMISSION_DENIED`, or `KERNEL`.
 * @throws The signal's reason. What is not undone by then stays in the journal.
 * @throws What `onUndone` threw, at the end. Where something is left too, it is
 * in the `cause` of a {@linkcode VfioError} `RESTORE_INCOMPLETE`.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { restore } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const { undone, left } = await restore(host);
 * console.log(undone.length); // 0: nothing was applied
 * for (const { step, error } of left) console.log(step.device, error);
 * ```
 */
export async function restore(
  host: Host,
  options: RestoreOptions = {},
): Promise<Restored> {
  const { name } = options;
  return await undoJournals(
    host,
    () => allJournals(host.kernel).toReversed(),
    ({ head, isWritten }) =>
      name === undefined || !isWritten || head.name === name,
    options,
  );
}

/**
 * Undoes journals, while no other process changes the host.
 *
 * @param host The host.
 * @param journals Reads the journals, the last first.
 * @param isWanted Whether a journal is to be undone. The others only keep what
 * they have changed since.
 * @param options The same as for {@linkcode restore}.
 */
export async function undoJournals(
  host: Host,
  journals: () => readonly StepJournal[],
  isWanted: (journal: StepJournal) => boolean,
  options: RestoreOptions,
): Promise<Restored> {
  const { devices, timeout, signal } = options;
  const listener = new Listener(options.onUndone);
  const undone: Step[] = [];
  const left: LeftStep[] = [];
  const damaged: DamagedJournal[] = [];
  const later = new LaterChanges();
  const names = devices?.map(canonicalName);
  const wantedOf = ({ toUndo }: StepJournal) => {
    const wanted = entriesOf(host, toUndo, names);
    return options.keepBootSettings
      ? wanted.filter(({ step }) => !isForBoot(step))
      : wanted;
  };
  const undo = async (journal: StepJournal) => {
    const divided = later.divide(wantedOf(journal));
    const undoneHere: Step[] = [];
    try {
      const leftHere = await undoSteps(host, journal, divided.free, {
        ...timeout === undefined ? {} : { timeout },
        ...signal === undefined ? {} : { signal },
        onUndone(step) {
          undoneHere.push(step);
          listener.call(step);
        },
      });
      left.push(...divided.left, ...leftHere);
    } finally {
      undone.push(...undoneHere);
      logSteps(host.kernel, "undone", journal, undoneHere);
    }
    if (journal.toUndo.length === 0) journal.remove();
  };
  try {
    await locked(host.kernel, new Deadline(options), async () => {
      for (const journal of journals()) {
        const { id, damage } = journal;
        if (!isWanted(journal)) {
          later.add(journal);
        } else if (damage !== undefined) {
          damaged.push({ id, error: damage });
        } else {
          if (journal.holder === undefined) await undo(journal);
          else left.push(...heldSteps(journal, wantedOf(journal)));
          later.add(journal);
        }
      }
    });
  } catch (error) {
    throw toVfioError(error, "restore the host");
  }
  const { errors } = listener;
  if (errors.length > 0) {
    throw left.length > 0 ? incomplete(left, errors) : errors[0];
  }
  return { undone, left, damaged };
}

/** A PCI address, as steps have it. */
const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/** The name of a device in a step. */
function canonicalName(device: string): string {
  // Names on buses such as "platform" distinguish upper case from lower case.
  if (device.startsWith("/")) return basename(device);
  try {
    return formatPciAddress(parsePciAddress(device));
  } catch {
    return device.toLowerCase();
  }
}

function entriesOf(
  host: Host,
  entries: readonly StepEntry[],
  devices: readonly string[] | undefined,
): readonly StepEntry[] {
  if (devices === undefined) return entries;
  const allDevices = new Set(devices.flatMap((device) => [
    device,
    ...virtualFunctionsOf(host, device),
  ]));
  return entries.filter(({ step }) =>
    step.kind === "handoff"
      ? step.devices.some((device) => allDevices.has(device))
      : step.device !== undefined && allDevices.has(step.device)
  );
}

function isForBoot(step: Step): boolean {
  return step.kind === "configuration" && step.atBoot !== undefined;
}

function virtualFunctionsOf(host: Host, device: string): string[] {
  if (!ADDRESS.test(device)) return [];
  const found = functionIfThere(host, device)?.virtualFunctions ?? [];
  return found.map(({ address }) => address);
}

/**
 * The error for steps that could not be undone.
 *
 * @param left The steps, each with its error.
 * @param others What else went wrong.
 */
export function incomplete(
  left: readonly LeftStep[],
  others: readonly unknown[] = [],
): VfioError {
  return new VfioError("RESTORE_INCOMPLETE", {
    problem: `not everything could be undone:\n${leftText(left)}`,
    hint: "restore again: the journal has the rest",
    cause: new AggregateError([...left.map(({ error }) => error), ...others]),
  });
}

/** The errors of steps that could not be undone, a line each. */
export function leftText(left: readonly LeftStep[]): string {
  return left.map(({ error }) =>
    error instanceof Error ? error.message : String(error)
  ).join("\n");
}
