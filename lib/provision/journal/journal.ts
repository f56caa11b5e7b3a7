/**
 * The journal of changes to the host. Each change is written before it is made.
 *
 * @module
 */

import type { VfioError } from "../../errors.ts";
import { processName } from "../../host/openers.ts";
import { namesIn } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { damageError, JournalFile } from "./journal_file.ts";
import { processId, RUN } from "./lock.ts";
import { type JournalHead, type JournalRecord, VERSION } from "./record.ts";
import type { Step } from "../steps/step.ts";

/** The directory of records that outlive a reboot. */
export const LASTING = "/var/lib/passthru";

/**
 * Returns the paths of a journal's files.
 *
 * @param id The name of its files, without an extension.
 */
export function pathsOf(id: string): string[] {
  return [RUN, LASTING].map((directory) => `${directory}/${id}.jsonl`);
}

/** A step that was begun. */
export interface JournalEntry {
  /** Its number, from 0 on, in the order in which they were begun. */
  readonly number: number;
  /** The step. */
  readonly step: Step;
  /** What was captured before it. */
  readonly before: unknown;
  /** Whether it was completed. */
  readonly made: boolean;
  /** The result of making it, if there is one. */
  readonly result?: unknown;
  /** Whether it was undone. */
  readonly undone: boolean;
}

/**
 * The journal of one apply, in two files: one for changes that outlive a
 * reboot, and one for all others, which a reboot removes together with those
 * changes.
 */
export class Journal {
  /** The name of its files, without an extension. */
  readonly id: string;
  /** Its first line. */
  readonly head: JournalHead;
  /** Whether its files have that line already. */
  readonly isWritten: boolean;
  /**
   * Why it cannot be used, if so. It has no entries then, and its files stay as
   * they are.
   */
  readonly damage: VfioError | undefined;
  readonly #files: {
    readonly passing: JournalFile;
    readonly lasting: JournalFile;
  };
  readonly #entries: JournalEntry[] = [];
  /** The place of each entry, by its number. */
  readonly #places = new Map<number, number>();

  /**
   * Reads the journal of a name, if it exists.
   *
   * @param kernel The system.
   * @param id The name of its files, without an extension.
   * @param name The name of the apply, for a new journal.
   * @throws {VfioError} `PERMISSION_DENIED` when this user may not read it.
   */
  constructor(kernel: Kernel, id: string, name?: string) {
    this.id = id;
    const passing = new JournalFile(kernel, RUN, id);
    const lasting = new JournalFile(kernel, LASTING, id);
    this.#files = { passing, lasting };
    const boot = kernel.readFile("/proc/sys/kernel/random/boot_id").trim();
    // /run may outlive a reboot, but the changes that are recorded there do
    // not.
    const { head = lasting.head } = passing;
    const isOver = passing.head !== undefined && passing.head.boot !== boot;
    this.isWritten = head !== undefined;
    this.head = head ?? newHead(kernel, boot, name);
    const passingRecords = isOver ? [] : passing.records;
    this.damage = (isOver ? undefined : passing.damage) ?? lasting.damage ??
      damageOfBoth(id, passingRecords, lasting.records);
    if (this.damage !== undefined) return;
    this.#entries = entriesOf([...passingRecords, ...lasting.records]);
    for (const [i, { number }] of this.#entries.entries()) {
      this.#places.set(number, i);
    }
  }

  /**
   * Reads the journals of all applies, the oldest first, also those that are
   * damaged.
   *
   * @param kernel The system.
   */
  static applies(kernel: Kernel): Journal[] {
    return numbersOf(kernel)
      .map((number) => new Journal(kernel, `apply-${number}`));
  }

  /**
   * Makes the journal of the next apply. Nothing is written yet.
   *
   * @param kernel The system.
   * @param name The name of the apply.
   */
  static next(kernel: Kernel, name: string | undefined): Journal {
    const number = 1 + (numbersOf(kernel).at(-1) ?? 0);
    return new Journal(kernel, `apply-${number}`, name);
  }

  /** The steps that were begun, in that order. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** The steps that are not undone, the last first. */
  get toUndo(): JournalEntry[] {
    return this.#entries.filter(({ undone }) => !undone).toReversed();
  }

  /**
   * Records that a step is begun.
   *
   * @param step The step.
   * @param before What was captured before it.
   * @returns Its number.
   */
  begin(step: Step, before: unknown): number {
    const number = 1 + (this.#entries.at(-1)?.number ?? -1);
    this.#append(step, { begin: number, step, before });
    this.#places.set(number, this.#entries.length);
    this.#entries.push({ number, step, before, made: false, undone: false });
    return number;
  }

  /**
   * Records that a step was completed.
   *
   * @param number The step's number.
   * @param result The result of making it.
   */
  made(number: number, result: unknown): void {
    const place = this.#places.get(number)!;
    const entry = this.#entries[place]!;
    this.#append(entry.step, { made: number, result });
    this.#entries[place] = { ...entry, made: true, result };
  }

  /** Records that a step is undone. */
  undone(number: number): void {
    const place = this.#places.get(number)!;
    const entry = this.#entries[place]!;
    this.#entries[place] = { ...entry, undone: true };
    this.#append(entry.step, { undone: number });
  }

  /** Removes its files. */
  remove(): void {
    const { passing, lasting } = this.#files;
    passing.remove();
    lasting.remove();
  }

  #append(step: Step, record: JournalRecord): void {
    const { passing, lasting } = this.#files;
    (lasts(step) ? lasting : passing).append(this.head, record);
  }
}

/** Whether the change of a step outlives a reboot. */
function lasts(step: Step): boolean {
  return "path" in step && /^\/(?!dev\/|proc\/|run\/|sys\/)/.test(step.path);
}

function newHead(
  kernel: Kernel,
  boot: string,
  name: string | undefined,
): JournalHead {
  const pid = processId(kernel);
  return {
    passthru: VERSION,
    uuid: crypto.randomUUID(),
    boot,
    pid,
    process: processName(kernel, pid),
    at: new Date().toISOString(),
    ...name === undefined ? {} : { name },
  };
}

function entriesOf(records: readonly JournalRecord[]): JournalEntry[] {
  const entries = new Map<number, JournalEntry>();
  for (const record of records) {
    if ("begin" in record) {
      const { begin: number, step, before } = record;
      const state = { made: false, undone: false };
      entries.set(number, { number, step, before, ...state });
    } else if ("made" in record) {
      const { made: number, result } = record;
      entries.set(number, { ...entries.get(number)!, made: true, result });
    } else {
      const { undone: number } = record;
      entries.set(number, { ...entries.get(number)!, undone: true });
    }
  }
  return [...entries.values()].sort((a, b) => a.number - b.number);
}

/** The error for a step that is begun in both files. */
function damageOfBoth(
  id: string,
  passing: readonly JournalRecord[],
  lasting: readonly JournalRecord[],
): VfioError | undefined {
  const [first, second] = [passing, lasting].map((records) =>
    new Set(records.flatMap((each) => "begin" in each ? each.begin : []))
  );
  const [number] = first!.intersection(second!);
  if (number === undefined) return undefined;
  return damageError(
    id,
    `the journal ${LASTING}/${id}.jsonl is damaged: step ${number} is in ` +
      `${RUN}/${id}.jsonl too`,
  );
}

/** The numbers of the applies that have a journal, in order. */
function numbersOf(kernel: Kernel): number[] {
  const names = [RUN, LASTING].flatMap((path) => namesIn(kernel, path));
  const numbers = names.flatMap((name) =>
    /^apply-(\d+)\.jsonl$/.exec(name)?.[1] ?? []
  );
  return [...new Set(numbers.map(Number))].sort((a, b) => a - b);
}
