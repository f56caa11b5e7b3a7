/**
 * The files that a journal consists of.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
import {
  readAll,
  syncDirectory,
  unlinkIfPresent,
  writeAll,
} from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
} from "../../uapi/linux/fcntl.ts";
import { orFileError } from "./file_error.ts";
import { makeOwnDirectory, openOwn } from "./own_files.ts";
import {
  canBeTorn,
  isHead,
  isRecord,
  type JournalHead,
  type JournalRecord,
  type RecordedStep,
  type StepTest,
  VERSION,
} from "./record.ts";

/** One of the files that a journal consists of. */
export class JournalFile<S extends RecordedStep> {
  /** Its path. */
  readonly path: string;
  /** Its first line, if there is one. */
  head: JournalHead | undefined;
  /** The lines after that. */
  readonly records: JournalRecord<S>[] = [];
  /** Why it cannot be used, if so. It stays as it is then. */
  readonly damage: VfioError | undefined;
  readonly #kernel: Kernel;
  readonly #directory: string;
  readonly #id: string;
  /** Whether its last line is incomplete. */
  #torn = false;

  /**
   * Reads it, if it exists.
   *
   * @param kernel The system.
   * @param directory Its directory.
   * @param id Its name, without the extension.
   * @param isStep Recognizes its steps.
   * @throws {VfioError} `PERMISSION_DENIED` when this user may not read it.
   */
  constructor(
    kernel: Kernel,
    directory: string,
    id: string,
    isStep: StepTest<S>,
  ) {
    this.#kernel = kernel;
    this.#directory = directory;
    this.#id = id;
    this.path = `${directory}/${id}.jsonl`;
    try {
      this.#parse(this.#read(), isStep);
    } catch (error) {
      if (hasErrno(error, "EACCES", "EPERM")) {
        orFileError(() => {
          throw error;
        });
      }
      this.damage = this.#explain(error);
    }
  }

  /** Writes a line. It is on the disk when this returns. */
  append(head: JournalHead, record: JournalRecord<S>): void {
    orFileError(() => {
      if (this.head === undefined) {
        makeOwnDirectory(this.#kernel, this.#directory);
        this.#write(head);
        this.head = head;
      }
      this.#write(record);
    }, this.path);
  }

  /** Removes it, if it exists. */
  remove(): void {
    orFileError(() => unlinkIfPresent(this.#kernel, this.path), this.path);
  }

  #read(): Uint8Array<ArrayBuffer> {
    try {
      using file = openOwn(this.#kernel, this.path, O_RDONLY);
      return readAll(this.#kernel, file.number, Number.MAX_SAFE_INTEGER);
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return new Uint8Array();
      throw error;
    }
  }

  #parse(bytes: Uint8Array<ArrayBuffer>, isStep: StepTest<S>): void {
    const begun = new Set<number>();
    for (const [i, { line, whole }] of linesOf(bytes).entries()) {
      this.#torn = !whole;
      const value = parsed(line);
      if (value === undefined) {
        if (canBeTorn(decode(line, false)!)) continue;
        throw new Damage(`line ${i + 1} cannot be read`);
      }
      if (this.head === undefined) {
        this.head = headOf(value, this.path);
        continue;
      }
      if (!isRecord(value, isStep)) {
        throw new Damage(`line ${i + 1} is no record`);
      }
      this.records.push(value);
      if ("begin" in value) {
        if (begun.has(value.begin)) {
          throw new Damage(`line ${i + 1} begins step ${value.begin} again`);
        }
        begun.add(value.begin);
        continue;
      }
      const number = "made" in value ? value.made : value.undone;
      if (!begun.has(number)) {
        throw new Damage(
          `line ${i + 1} is about step ${number}, which was not begun`,
        );
      }
    }
  }

  /** The error for a file that cannot be used. */
  #explain(cause: unknown): VfioError {
    if (cause instanceof VfioError && cause.code === "NOT_SUPPORTED") {
      return cause;
    }
    const problem = cause instanceof Damage
      ? `the journal ${this.path} is damaged: ${cause.message}`
      : cause instanceof VfioError
      ? `the journal ${cause.problem}`
      : cause instanceof KernelError
      ? `the journal cannot be read: ${cause.message}`
      : undefined;
    if (problem === undefined) throw cause;
    return damageError(this.#id, problem, cause);
  }

  #write(line: JournalHead | JournalRecord<S>): void {
    using file = this.#openToAppend();
    // Ends an incomplete line.
    const end = this.#torn ? "\n" : "";
    this.#torn = true;
    const text = `${end}${JSON.stringify(line)}\n`;
    writeAll(this.#kernel, file.number, text);
    this.#kernel.fsync(file.number);
    this.#torn = false;
  }

  #openToAppend(): Fd {
    const flags = O_WRONLY | O_APPEND;
    try {
      return openOwn(this.#kernel, this.path, flags);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
    const file = openOwn(this.#kernel, this.path, flags | O_CREAT | O_EXCL);
    try {
      syncDirectory(this.#kernel, this.#directory);
      return file;
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }
}

/**
 * Makes the error for a journal that cannot be used.
 *
 * @param id The name of its files, without the extension.
 * @param problem What is wrong, with the path.
 * @param cause The reason.
 */
export function damageError(
  id: string,
  problem: string,
  cause?: unknown,
): VfioError {
  return new VfioError("JOURNAL_DAMAGED", {
    problem,
    hint: "what it records stays as it is; look at it, and drop it: " +
      `passthru restore --forget ${id}`,
    cause,
  });
}

/** Something in a file that its journal would not have written. */
class Damage extends Error {}

const NEWLINE = 0x0a;

/** The lines of a file, each without its newline, and whether it has one. */
function linesOf(
  bytes: Uint8Array<ArrayBuffer>,
): { line: Uint8Array<ArrayBuffer>; whole: boolean }[] {
  const lines = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(NEWLINE, start);
    const whole = end >= 0;
    const next = whole ? end + 1 : bytes.length;
    lines.push({ line: bytes.subarray(start, whole ? end : next), whole });
    start = next;
  }
  return lines;
}

/** Parses a line; `undefined` where it is no JSON. */
function parsed(line: Uint8Array<ArrayBuffer>): unknown {
  const text = decode(line, true);
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function decode(
  bytes: Uint8Array<ArrayBuffer>,
  fatal: boolean,
): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function headOf(value: unknown, path: string): JournalHead {
  if (isHead(value)) return value;
  const version = (value as { passthru?: unknown } | null)?.passthru;
  if (typeof version === "number" && version !== VERSION) {
    throw new VfioError("NOT_SUPPORTED", {
      problem: `${path} was written by another version of this library`,
      hint: "restore with the version that applied",
    });
  }
  throw new Damage("line 1 does not say what it is");
}
