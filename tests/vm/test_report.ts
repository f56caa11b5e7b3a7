/**
 * Reads the output of `deno test` while it is printed.
 *
 * Only the default report names a test when it begins, shows what the test
 * prints, and reports a module that does not load.
 *
 * @module
 */
import type { Counts, Outcome, TestTime } from "../../scripts/dev/outcome.ts";
import type { GuestDied } from "./errors.ts";

const OUTPUT_BEGINS = /^-+ output -+$/;
const OUTPUT_ENDS = /^-+ output end -+$/;
/** Lines without information. */
const EMPTY = /^$|^running \d+ tests? from |^-+ post-test output( end)? -+$/;
/** The text that Deno inserts into the line of a test that it waits for. */
const PATIENCE = /(?<= \.\.\.)'.*' has been running for over \(.*\)\n/g;

/** What the kernel says while tests run. */
export interface KernelLog {
  /** Returns the lines since the last call. */
  take(): readonly string[];
}

/**
 * Turns the report of `deno test` into lines that name the machine. A result
 * and its details are reported together, so that the reports of machines that
 * run side by side can be read.
 */
export class TestReport {
  readonly #machine: string;
  readonly #report: (lines: string) => void;
  readonly #kernelLog: KernelLog;
  readonly #decoder = new TextDecoder();
  /** The beginning of a line that has not ended. */
  #partial = "";
  /** The names of the running test and its steps, outermost first. */
  #running: string[] = [];
  #inOutput = false;
  /** Lines that wait for the result that they belong to. */
  #notes: string[] = [];
  readonly #times: TestTime[] = [];
  #seen: Record<keyof Counts, number> = { passed: 0, failed: 0, ignored: 0 };
  #summary: Record<keyof Counts, number> | undefined;

  /**
   * @param machine The name of the machine.
   * @param report Called with each result, and its details in further lines.
   * @param kernelLog Read at each result.
   */
  constructor(
    machine: string,
    report: (lines: string) => void,
    kernelLog: KernelLog,
  ) {
    this.#machine = machine;
    this.#report = report;
    this.#kernelLog = kernelLog;
  }

  /**
   * Reads further output of `deno test`.
   *
   * @param chunk The bytes.
   */
  push(chunk: Uint8Array): void {
    const text = this.#partial + this.#decoder.decode(chunk, { stream: true });
    const lines = text.replaceAll(PATIENCE, "").split("\n");
    this.#partial = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  /**
   * Adds a line to the details of the next result.
   *
   * @param text The line.
   */
  note(text: string): void {
    this.#notes.push(text);
  }

  /**
   * Ends the report of a run that ended by itself.
   *
   * @param exitCode The exit code of `deno test`.
   * @returns The outcome of the tests.
   */
  end(exitCode: number): Outcome {
    if (this.#partial) this.#line(this.#partial);
    const counts = this.#summary ?? this.#seen;
    const isComplete = this.#summary !== undefined;
    if (isComplete && (exitCode === 0 || counts.failed > 0)) {
      if (this.#notes.length > 0) {
        this.#print(`${this.#machine}, after its tests:`);
      }
      return { ...counts, times: this.#times };
    }
    this.#say("FAILED", `deno test ended with exit code ${exitCode}`);
    return { ...counts, failed: counts.failed + 1, times: this.#times };
  }

  /**
   * Ends the report of a run whose guest died.
   *
   * @param error Why it died.
   * @returns The outcome of the tests; the one that was running has failed.
   */
  died(error: GuestDied): Outcome {
    const [, unfinished] = this.#partial.match(/^ *(.*) \.\.\. ?$/) ?? [];
    const path = [...this.#running, ...(unfinished ? [unfinished] : [])];
    for (const line of error.message.split("\n")) this.note(line);
    this.#say(
      "FAILED",
      path.length > 0 ? path.join(" > ") : "outside of any test",
    );
    const { failed, ...others } = this.#seen;
    return { ...others, failed: failed + 1, times: this.#times };
  }

  #line(line: string): void {
    if (OUTPUT_BEGINS.test(line)) {
      this.#inOutput = true;
    } else if (OUTPUT_ENDS.test(line)) {
      this.#inOutput = false;
    } else if (this.#inOutput) {
      this.note(line);
    } else if (
      !EMPTY.test(line) && !this.#result(line) && !this.#total(line)
    ) {
      this.note(line);
    }
  }

  /** Reads `name ...` where a test with steps or output begins, or a result. */
  #result(line: string): boolean {
    const [, indent, name, outcome, rest = ""] =
      line.match(/^( *)(.*) \.\.\.(?: +(ok|FAILED|ignored)( .*)?)?$/) ?? [];
    if (name === undefined) return false;
    this.#running.length = Math.min(this.#running.length, indent!.length / 2);
    const path = [...this.#running, name];
    if (outcome === undefined) {
      this.#running = path;
      return true;
    }
    const kind = outcome === "ok" ? "passed" : outcome.toLowerCase();
    this.#seen[kind as keyof Counts]++;
    if (path.length === 1 && outcome !== "ignored") {
      this.#times.push({ name, seconds: secondsOf(rest) });
    }
    const log = this.#kernelLog.take();
    if (outcome === "FAILED") {
      for (const line of log) this.note(`kernel: ${line}`);
    }
    this.#say(outcome, `${path.join(" > ")}${rest}`);
    return true;
  }

  /** `FAILED | 2 passed (1 step) | 3 failed | 1 ignored (12ms)`. */
  #total(line: string): boolean {
    if (!/^(ok|FAILED) \| \d+ passed/.test(line)) return false;
    const count = (what: string) => {
      const [, tests, steps] =
        line.match(`(\\d+) ${what}(?: \\((\\d+) steps?\\))?`) ?? [];
      return Number(tests ?? 0) + Number(steps ?? 0);
    };
    this.#summary = {
      passed: count("passed"),
      failed: count("failed"),
      ignored: count("ignored"),
    };
    return true;
  }

  #say(outcome: string, text: string): void {
    this.#print(`${outcome} ${this.#machine}: ${text}`);
  }

  /** Reports a line, with the notes that came before it. */
  #print(line: string): void {
    const notes = this.#notes.map((note) => `\n    ${note}`);
    this.#notes = [];
    this.#report(line + notes.join(""));
  }
}

/** The time behind a result, such as `(1m12s)`, `(3s)` or `(21ms)`. */
function secondsOf(rest: string): number {
  const [, minutes = 0, seconds = 0, milliseconds = 0] =
    rest.match(/\((?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?\)$/) ?? [];
  return Number(minutes) * 60 + Number(seconds) + Number(milliseconds) / 1000;
}
