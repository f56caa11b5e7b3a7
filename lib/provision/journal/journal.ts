/**
 * What was done to the host, written down before it is done.
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

/** Where what outlives a reboot is kept. */
export const LASTING = "/var/lib/passthru";

/** The version of what is written. */
const VERSION = 1;

/** What files held before may be nobody else's business. */
const MODE = 0o600;

/** What a journal begins with. */
export interface JournalHead {
  /** The version of what is written. */
  readonly passthru: typeof VERSION;
  /** Tells it from all others: its number is free again once it is undone. */
  readonly uuid: string;
  /** Which boot of the host it was, `/proc/sys/kernel/random/boot_id`. */
  readonly boot: string;
  /** The process that made the changes. */
  readonly pid: number;
  /** Its name. */
  readonly process: string;
  /** When, as ISO 8601 has it. */
  readonly at: string;
  /** What was applied, in the words of whoever did. */
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
  /** Whether it was made whole. */
  readonly made: boolean;
  /** What making it gave, where it gave anything. */
  readonly result?: unknown;
  /** Whether it was undone since. */
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
  /** Whether the last line was not written whole. */
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
    // A torn line ends here.
    if (this.#torn) appendLine(this.#kernel, this.path, "", MODE);
    this.#torn = true;
    appendLine(this.#kernel, this.path, JSON.stringify(line), MODE);
    this.#torn = false;
  }
}

/**
 * A line as JSON. A torn one is none: what it was to tell was not done yet, or
 * can be done again.
 */
function parsed(line: string): unknown[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

/**
 * The journal of one apply: what lasts over a reboot in one file, and all else
 * in another, which a reboot takes with what it tells of.
 */
export class Journal {
  /** What its files are called. */
  readonly id: string;
  /** What it begins with. */
  readonly head: JournalHead;
  readonly #kernel: Kernel;
  readonly #files: {
    readonly passing: JournalFile;
    readonly lasting: JournalFile;
  };
  readonly #entries: JournalEntry[] = [];

  /**
   * The journal of a name, which need not be there.
   *
   * @param kernel The system.
   * @param id What its files are called.
   * @param name What is applied, where it is new.
   */
  constructor(kernel: Kernel, id: string, name?: string) {
    this.#kernel = kernel;
    this.id = id;
    const passing = new JournalFile(kernel, RUN, `${id}.jsonl`);
    const lasting = new JournalFile(kernel, LASTING, `${id}.jsonl`);
    this.#files = { passing, lasting };
    const boot = kernel.readFile("/proc/sys/kernel/random/boot_id").trim();
    // Where /run outlives a reboot, what is told there does not.
    const told = passing.head?.boot === boot ? passing.records : [];
    this.#entries = entriesOf([...told, ...lasting.records]);
    this.head = passing.head ?? lasting.head ?? newHead(kernel, boot, name);
  }

  /**
   * The journals of all applies, the oldest first.
   *
   * @param kernel The system.
   */
  static applies(kernel: Kernel): Journal[] {
    return numbersOf(kernel)
      .map((number) => new Journal(kernel, `apply-${number}`));
  }

  /**
   * The journal of the next apply, of which nothing is written yet.
   *
   * @param kernel The system.
   * @param name What is applied.
   */
  static next(kernel: Kernel, name: string | undefined): Journal {
    const number = 1 + (numbersOf(kernel).at(-1) ?? 0);
    return new Journal(kernel, `apply-${number}`, name);
  }

  /** The steps that were begun, in that order. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** The steps that are to be undone, the last first. */
  get toUndo(): JournalEntry[] {
    return this.#entries.filter(({ undone }) => !undone).toReversed();
  }

  /**
   * Tells that a step is begun.
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
   * Tells that a step was made whole.
   *
   * @param number The step's number.
   * @param result What making it gave.
   */
  made(number: number, result: unknown): void {
    const entry = this.#entries[number]!;
    this.#append(entry.step, { made: number, result });
    this.#entries[number] = { ...entry, made: true, result };
  }

  /** Tells that a step is undone. */
  undone(number: number): void {
    const entry = this.#entries[number]!;
    this.#entries[number] = { ...entry, undone: true };
    this.#append(entry.step, { undone: number });
  }

  /** Removes it. */
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

/** Whether what a step changes is still changed after a reboot. */
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
