/**
 * The journal of changes to the host. Each change is written before it is made.
 *
 * @module
 */

import type { VfioError } from "../../errors.ts";
import { processName } from "../openers.ts";
import { namesIn } from "../sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Deadline } from "../driver/deadline.ts";
import { hold, holderOf } from "./hold.ts";
import { damageError, JournalFile } from "./journal_file.ts";
import { processId, RUN } from "./lock.ts";
import {
  type JournalHead,
  type JournalRecord,
  type RecordedStep,
  type StepTest,
  VERSION,
} from "./record.ts";

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

/** What makes changes: an apply, or a script that takes a device. */
export type Maker = "apply" | "take";

/**
 * The names of all journals of applies and of taken devices, without an
 * extension: `"apply-3"`. The oldest is the first.
 *
 * @param kernel The system.
 */
export function journalIds(kernel: Kernel): string[] {
  const names = [RUN, LASTING].flatMap((path) => namesIn(kernel, path));
  const numbers = new Map(
    names.flatMap((name) => {
      const [, id, number] = /^((?:apply|take)-(\d+))\.jsonl$/.exec(name) ?? [];
      return id === undefined ? [] : [[id, Number(number)] as const];
    }),
  );
  return [...numbers].sort(([, a], [, b]) => a - b).map(([id]) => id);
}

/**
 * The name of the next journal. It has the next number, whoever makes it: a
 * later change must be undone first.
 *
 * @param kernel The system.
 * @param maker What makes the changes.
 */
export function nextJournalId(kernel: Kernel, maker: Maker): string {
  const [, last = "0"] = /(\d+)$/.exec(journalIds(kernel).at(-1) ?? "") ?? [];
  return `${maker}-${Number(last) + 1}`;
}

/** A step that was begun. */
export interface JournalEntry<S extends RecordedStep> {
  /** Its number, from 0 on, in the order in which they were begun. */
  readonly number: number;
  /** The step. */
  readonly step: S;
  /** What was captured before it. */
  readonly before: unknown;
  /** Whether it was completed. */
  readonly made: boolean;
  /** The result of making it, if there is one. */
  readonly result?: unknown;
  /** Whether it was undone. */
  readonly undone: boolean;
}

/** Which journal, and what may be in it. */
export interface JournalOptions<S extends RecordedStep> {
  /** The name of its files, without an extension. */
  readonly id: string;
  /** Recognizes its steps. */
  readonly isStep: StepTest<S>;
  /** The name of the apply, for a new journal. Default: none. */
  readonly name?: string | undefined;
}

/**
 * The journal of one apply or of one taken device, in two files: one for
 * changes that outlive a reboot, and one for all others, which a reboot removes
 * together with those changes.
 */
export class Journal<S extends RecordedStep> {
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
    readonly passing: JournalFile<S>;
    readonly lasting: JournalFile<S>;
  };
  readonly #kernel: Kernel;
  readonly #entries: JournalEntry<S>[] = [];
  /** The place of each entry, by its number. */
  readonly #places = new Map<number, number>();

  /**
   * Reads a journal, if it exists.
   *
   * @param kernel The system.
   * @param options Which journal.
   * @throws {VfioError} `PERMISSION_DENIED` when this user may not read it.
   */
  constructor(kernel: Kernel, { id, isStep, name }: JournalOptions<S>) {
    this.#kernel = kernel;
    this.id = id;
    const passing = new JournalFile(kernel, RUN, id, isStep);
    const lasting = new JournalFile(kernel, LASTING, id, isStep);
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

  /** The steps that were begun, in that order. */
  get entries(): readonly JournalEntry<S>[] {
    return this.#entries;
  }

  /** The steps that are not undone, the last first. */
  get toUndo(): JournalEntry<S>[] {
    return this.#entries.filter(({ undone }) => !undone).toReversed();
  }

  /**
   * Records that a step is begun.
   *
   * @param step The step.
   * @param before What was captured before it.
   * @returns Its number.
   */
  begin(step: S, before: unknown): number {
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

  /**
   * Shows that this process still has what it records: `restore` leaves it
   * alone until that ends, or until this process does, however it ends.
   *
   * @param deadline How long to wait for those who only look.
   * @returns Ends it when it is disposed of.
   */
  async hold(deadline: Deadline): Promise<Disposable> {
    return await hold(this.#kernel, this.#first.path, deadline);
  }

  /**
   * The process that still has what it records, in words; `undefined` when none
   * has. It can be this process.
   */
  get holder(): string | undefined {
    const { path, head } = this.#first;
    return head === undefined ? undefined : holderOf(this.#kernel, path);
  }

  /** The first of its files that is written. */
  get #first(): JournalFile<S> {
    const { passing, lasting } = this.#files;
    return passing.head === undefined ? lasting : passing;
  }

  /** Removes its files. */
  remove(): void {
    const { passing, lasting } = this.#files;
    passing.remove();
    lasting.remove();
  }

  #append(step: S, record: JournalRecord<S>): void {
    const { passing, lasting } = this.#files;
    (lasts(step) ? lasting : passing).append(this.head, record);
  }
}

/** Whether the change of a step outlives a reboot. */
function lasts({ path }: RecordedStep): boolean {
  return path !== undefined && /^\/(?!dev\/|proc\/|run\/|sys\/)/.test(path);
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

function entriesOf<S extends RecordedStep>(
  records: readonly JournalRecord<S>[],
): JournalEntry<S>[] {
  const entries = new Map<number, JournalEntry<S>>();
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
  passing: readonly JournalRecord<RecordedStep>[],
  lasting: readonly JournalRecord<RecordedStep>[],
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
