/**
 * Applies a state at every boot.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import { Deadline, type WaitOptions } from "../../host/driver/deadline.ts";
import type { Host } from "../../host/host.ts";
import { namesIn } from "../../host/sysfs.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { LASTING } from "../../host/journal/journal.ts";
import { stepJournal } from "../journal/journals.ts";
import { makeSteps, underLock } from "../make.ts";
import { parseState } from "../state/parse.ts";
import { incomplete, undoJournals } from "../restore.ts";
import { select } from "../state/selector.ts";
import type { DesiredState } from "../state/state.ts";
import type { Step } from "../steps/step.ts";
import { kindOf } from "../steps/kinds.ts";
import { undoSteps } from "../journal/undo.ts";
import { changeableParts } from "./command.ts";
import { type ReservedFunction, unitFiles, unitName } from "./unit.ts";

/** Options of {@linkcode persist}. */
export interface PersistOptions extends WaitOptions {
  /**
   * The words of the `passthru` command. The first is an absolute path:
   * `["/usr/local/bin/passthru"]`.
   */
  readonly command: readonly string[];
  /**
   * Whether another unit keeps the host at the state from then on, as
   * {@linkcode watch} does. Default: false.
   */
  readonly watch?: boolean;
}

/** The unit and files that apply a state at boot. */
export interface Persisted {
  /** The name of the systemd unit: `"passthru-desk.service"`. */
  readonly unit: string;
  /** The files, in the order in which they were written. */
  readonly files: readonly string[];
  /**
   * What of the command other users than root can change, a sentence each.
   * Whoever can does what root may do at the next boot.
   */
  readonly warnings: readonly string[];
}

/**
 * Installs a systemd unit that applies a state at every boot, before the users
 * of devices start, and undoes it when the unit stops. It writes
 * `/etc/passthru/NAME.json`, the unit, a list of VFIO drivers to load, and for
 * displays a udev rule that keeps their own driver from binding them. It
 * replaces what was installed under that name.
 *
 * Nothing is applied now. systemd reads the unit after
 * `systemctl daemon-reload`.
 *
 * A display that was kept from its driver at boot has no driver after
 * {@linkcode restore}, until {@linkcode unpersist} and the next boot.
 *
 * @param host The host.
 * @param state The desired state.
 * @param name Letters, digits, `.`, `_` and `-`.
 * @param options The command, a time limit and a signal.
 * @returns What was written.
 * @throws {TypeError} When the state or the name is invalid, or the command is
 * not an absolute path.
 * @throws {VfioError} The error of a selector, `JOURNAL_DAMAGED`, `LOCKED`,
 * `PERMISSION_DENIED`, or `KERNEL`. Nothing is written then.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { persist, unpersist } from "@passthru/vfio/provision";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const state = {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * };
 * const command = ["/usr/local/bin/passthru"];
 * const { unit, files } = await persist(host, state, "desk", { command });
 * console.log(unit, files);
 * await unpersist(host, "desk");
 * ```
 */
export async function persist(
  host: Host,
  state: DesiredState,
  name: string,
  options: PersistOptions,
): Promise<Persisted> {
  const { command, watch = false } = options;
  const id = journalOf(name);
  if (!command[0]?.startsWith("/") || /[\n\0]/.test(command.join(""))) {
    throw new TypeError(
      `Cannot run ${JSON.stringify(command)} at boot: expected an absolute ` +
        "path, and words without line breaks",
    );
  }
  const checked = parseState(state);
  return await underLock(host, options, async () => {
    const reserved = displaysOf(host, checked);
    const files = unitFiles({
      name,
      state: checked,
      command,
      reserved,
      watch,
    });
    await replace(host, id, files, options);
    return {
      unit: unitName(name),
      files: files.map(({ path }) => path),
      warnings: changeableParts(host.kernel, command),
    };
  });
}

/**
 * Removes what {@linkcode persist} installed, and restores the files that were
 * there before. What is applied now stays; {@linkcode restore} undoes that.
 *
 * @param host The host.
 * @param name Its name.
 * @param options A time limit and a signal.
 * @returns Whether a state was installed under that name.
 * @throws {TypeError} When the name is invalid.
 * @throws {VfioError} `RESTORE_INCOMPLETE` when somebody else has changed a
 * file since; that file stays. `JOURNAL_DAMAGED`, `LOCKED`,
 * `PERMISSION_DENIED`, or `KERNEL`.
 */
export async function unpersist(
  host: Host,
  name: string,
  options: WaitOptions = {},
): Promise<boolean> {
  const id = journalOf(name);
  const { undone, left, damaged } = await undoJournals(
    host,
    () => [stepJournal(host.kernel, id)],
    () => true,
    options,
  );
  for (const { error } of damaged) throw error;
  if (left.length > 0) throw incomplete(left);
  return undone.length > 0;
}

/**
 * Lists the names of the states that are applied at boot.
 *
 * @param host The host.
 */
export function persisted(host: Host): string[] {
  return namesIn(host.kernel, LASTING).flatMap((file) =>
    /^persist-(.*)\.jsonl$/.exec(file)?.[1] ?? []
  );
}

/** Replaces the files that were installed under a name. */
async function replace(
  host: Host,
  id: string,
  steps: readonly Step[],
  options: WaitOptions,
): Promise<void> {
  const old = stepJournal(host.kernel, id);
  if (old.damage !== undefined) throw old.damage;
  const before = old.toUndo.map(({ step }) => step).reverse();
  const same = JSON.stringify(before) === JSON.stringify(steps);
  if (same && await allHold(host, steps, options)) return;
  const left = await undoSteps(host, old, old.toUndo);
  if (left.length > 0) throw incomplete(left);
  old.remove();
  try {
    await makeSteps(host, steps, options, stepJournal(host.kernel, id));
  } catch (error) {
    if (before.length > 0) {
      await makeSteps(host, before, {}, stepJournal(host.kernel, id));
    }
    throw error;
  }
}

async function allHold(
  host: Host,
  steps: readonly Step[],
  options: WaitOptions,
): Promise<boolean> {
  const work = { host, deadline: new Deadline(options) };
  for (const step of steps) {
    if (!await kindOf(step).holds(work, step)) return false;
  }
  return true;
}

function journalOf(name: string): string {
  if (/^[A-Za-z0-9][\w.-]*$/.test(name)) return `persist-${name}`;
  throw new TypeError(
    `Cannot name a state ${shortJson(name)}: expected letters, digits, ` +
      '".", "_" and "-"',
  );
}

/** The displays that a state binds to VFIO drivers. */
function displaysOf(
  host: Host,
  { functions = [] }: DesiredState,
): ReservedFunction[] {
  return functions.flatMap(({ select: selector, driver }, i) => {
    if (typeof driver !== "string" || !isVfioDriver(driver)) return [];
    const fn = select(host, selector, `functions[${i}].select`);
    if (fn.class >> 16 !== DISPLAY) return [];
    const { address, vendor, device } = fn;
    return [{ address, vendor, device, driver }];
  });
}

/** `PCI_BASE_CLASS_DISPLAY` in `include/linux/pci_ids.h`. */
const DISPLAY = 0x03;
