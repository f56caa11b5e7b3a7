/**
 * The journal of changes to the host. Each change is written before it is made.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { processName } from "../../host/openers.ts";
import { namesIn } from "../../host/sysfs.ts";
import {
  appendLine,
  makeDirectories,
  readTextIfPresent,
  unlinkIfPresent,
} from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { orFileError } from "./files.ts";
import { processId, RUN } from "./lock.ts";
import type { Step } from "../steps/step.ts";

/** The directory of records that outlive a reboot. */
export const LASTING = "/var/lib/passthru";

/** The version of the journal's format. */
const VERSION = 1;

/** Only root can read a journal: it has the former contents of files. */
const MODE = 0o600;

/** The first line of a journal. */
export interface JournalHead {
  /** The version of the journal's format. */
  readonly passthru: typeof VERSION;
  /**
   * Unique, unlike the journal's number, which is free again once it is undone.
   */
  readonly uuid: string;
  /**
   * The boot of the host it was written in, `/proc/sys/kernel/random/boot_id`.
   */
  readonly boot: string;
  /** The process that made the changes. */
  readonly pid: number;
  /** Its name. */
  readonly process: string;
  /** When it was begun, in ISO 8601. */
  readonly at: string;
  /** The name that it was applied under. */
  readonly name?: string;
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

/** A line of a journal, after the first. */
type JournalRecord =
  | { readonly begin: number; readonly step: Step; readonly before: unknown }
  | { readonly made: number; readonly result?: unknown }
  | { readonly undone: number };

/** One of the files that a journal consists of. */
class JournalFile {
  readonly path: string;
  head: JournalHead | undefined;
  readonly records: readonly JournalRecord[];
  readonly #kernel: Kernel;
  readonly #directory: string;
  /** Whether the last line is incomplete. */
  #torn: boolean;

  constructor(kernel: Kernel, directory: string, name: string) {
    const path = `${directory}/${name}`;
    this.path = path;
    this.#directory = directory;
    this.#kernel = kernel;
    const text = orFileError(() => readTextIfPresent(kernel, path)) ?? "";
    this.#torn = text !== "" && !text.endsWith("\n");
    const [head, ...records] = text.split("\n").flatMap(parsed);
    this.head = head as JournalHead | undefined;
    assertReadable(path, this.head);
    this.records = records as JournalRecord[];
  }

  /** Writes a line. It is on the disk when this returns. */
  append(head: JournalHead, record: JournalRecord): void {
    if (this.head === undefined) {
      makeDirectories(this.#kernel, this.#directory);
      this.#write(head);
      this.head = head;
    }
    this.#write(record);
  }

  #write(line: JournalHead | JournalRecord): void {
    // Ends an incomplete line.
    if (this.#torn) appendLine(this.#kernel, this.path, "", MODE);
    this.#torn = true;
    appendLine(this.#kernel, this.path, JSON.stringify(line), MODE);
    this.#torn = false;
  }
}

/**
 * Parses a line as JSON. An incomplete line is left out: its change was not
 * made yet, or can be made again.
 */
function parsed(line: string): unknown[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
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
  readonly #kernel: Kernel;
  readonly #files: {
    readonly passing: JournalFile;
    readonly lasting: JournalFile;
  };
  readonly #entries: JournalEntry[] = [];

  /**
   * Reads the journal of a name, if it exists.
   *
   * @param kernel The system.
   * @param id The name of its files, without an extension.
   * @param name The name of the apply, for a new journal.
   */
  constructor(kernel: Kernel, id: string, name?: string) {
    this.#kernel = kernel;
    this.id = id;
    const passing = new JournalFile(kernel, RUN, `${id}.jsonl`);
    const lasting = new JournalFile(kernel, LASTING, `${id}.jsonl`);
    this.#files = { passing, lasting };
    const boot = kernel.readFile("/proc/sys/kernel/random/boot_id").trim();
    // /run may outlive a reboot, but the changes that are recorded there do
    // not.
    const passingRecords = passing.head?.boot === boot ? passing.records : [];
    this.#entries = entriesOf([...passingRecords, ...lasting.records]);
    this.head = passing.head ?? lasting.head ?? newHead(kernel, boot, name);
  }

  /**
   * Reads the journals of all applies, the oldest first.
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
    const number = this.#entries.length;
    this.#append(step, { begin: number, step, before });
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
    const entry = this.#entries[number]!;
    this.#append(entry.step, { made: number, result });
    this.#entries[number] = { ...entry, made: true, result };
  }

  /** Records that a step is undone. */
  undone(number: number): void {
    const entry = this.#entries[number]!;
    this.#entries[number] = { ...entry, undone: true };
    this.#append(entry.step, { undone: number });
  }

  /** Removes its files. */
  remove(): void {
    const { passing, lasting } = this.#files;
    unlinkIfPresent(this.#kernel, passing.path);
    unlinkIfPresent(this.#kernel, lasting.path);
  }

  #append(step: Step, record: JournalRecord): void {
    const { passing, lasting } = this.#files;
    (lasts(step) ? lasting : passing).append(this.head, record);
  }
}

function assertReadable(path: string, head: JournalHead | undefined): void {
  if (head === undefined || head.passthru === VERSION) return;
  throw new VfioError("NOT_SUPPORTED", {
    problem: `${path} was written by another version of this library`,
    hint: "restore with the version that applied",
  });
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
  const entries: JournalEntry[] = [];
  for (const record of records) {
    if ("begin" in record) {
      const { begin: number, step, before } = record;
      entries[number] = { number, step, before, made: false, undone: false };
      continue;
    }
    const made = "made" in record;
    const number = made ? record.made : record.undone;
    const entry = entries[number];
    if (entry === undefined) continue;
    entries[number] = made
      ? { ...entry, made, result: record.result }
      : { ...entry, undone: true };
  }
  return entries;
}

/** The numbers of the applies that have a journal, in order. */
function numbersOf(kernel: Kernel): number[] {
  const names = [RUN, LASTING].flatMap((path) => namesIn(kernel, path));
  const numbers = names.flatMap((name) =>
    /^apply-(\d+)\.jsonl$/.exec(name)?.[1] ?? []
  );
  return [...new Set(numbers.map(Number))].sort((a, b) => a - b);
}
