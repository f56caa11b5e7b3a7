/**
 * The lines of a journal.
 *
 * @module
 */

/** The version of the journal's format. */
export const VERSION = 1;

/** A change to the host, as a journal has it. Its kind says what else it has. */
export interface RecordedStep {
  /** The kind of change. */
  readonly kind: string;
  /** The device that it changes, if it changes one. */
  readonly device?: string;
  /** The path that it changes, if it changes one. */
  readonly path?: string;
}

/** Recognizes the steps that can be undone. */
export type StepTest<S extends RecordedStep> = (value: unknown) => value is S;

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

/** A line of a journal, after the first. */
export type JournalRecord<S extends RecordedStep> =
  | { readonly begin: number; readonly step: S; readonly before: unknown }
  | { readonly made: number; readonly result?: unknown }
  | { readonly undone: number };

/** Whether a value is the first line of a journal of this version. */
export function isHead(value: unknown): value is JournalHead {
  if (typeof value !== "object" || value === null) return false;
  const { passthru, uuid, boot, pid, process, at, name = "" } = value as Record<
    string,
    unknown
  >;
  return passthru === VERSION && typeof pid === "number" &&
    [uuid, boot, process, at, name].every((text) => typeof text === "string") &&
    !Number.isNaN(Date.parse(String(at)));
}

/**
 * Whether a value is a line of a journal, after the first.
 *
 * @param value The value.
 * @param isStep Recognizes the steps of the journal.
 */
export function isRecord<S extends RecordedStep>(
  value: unknown,
  isStep: StepTest<S>,
): value is JournalRecord<S> {
  if (typeof value !== "object" || value === null) return false;
  const { begin, made, undone, step } = value as Record<string, unknown>;
  const numbers = [begin, made, undone].filter((each) => each !== undefined);
  if (numbers.length !== 1) return false;
  if (!Number.isSafeInteger(numbers[0]) || Number(numbers[0]) < 0) return false;
  return begin === undefined || isStep(step) && "before" in value;
}

/** How the lines of a journal begin. */
const STARTS = ['{"passthru":', '{"begin":', '{"made":', '{"undone":'];

/**
 * Whether a line can be the part of one that was written before the disk was
 * full, or before the host lost power. Its change was not made, or can be made
 * again.
 */
export function canBeTorn(line: string): boolean {
  return !line.includes("\0") &&
    STARTS.some((start) => line.startsWith(start) || start.startsWith(line));
}
