/**
 * Reading what `deno test` prints, while it prints it.
 *
 * Its default report is the only one that names a test when it begins, shows
 * what the test prints, and tells of a module that does not load.
 *
 * @module
 */
import type { GuestDied } from "./errors.ts";

/** The outcome of some tests; a step of a test counts as one. */
export interface Counts {
  /** They ran and passed. */
  passed: number;
  /** They ran and failed. */
  failed: number;
  /** They did not run. */
  ignored: number;
}

const OUTPUT_BEGINS = /^-+ output -+$/;
const OUTPUT_ENDS = /^-+ output end -+$/;
/** Lines that say nothing here. */
const EMPTY = /^$|^running \d+ tests? from |^-+ post-test output( end)? -+$/;

/** Turns the report of `deno test` into lines that name the machine. */
export class TestReport {
  #machine: string;
  #report: (line: string) => void;
  #decoder = new TextDecoder();
  /** What has come of a line that has not ended. */
  #partial = "";
  /** The names of the running test and its steps, outermost first. */
  #running: string[] = [];
  #inOutput = false;
  #seen: Counts = { passed: 0, failed: 0, ignored: 0 };
  #summary: Counts | undefined;

  /**
   * @param machine The name of the machine.
   * @param report Called with each line of the report.
   */
  constructor(machine: string, report: (line: string) => void) {
    this.#machine = machine;
    this.#report = report;
  }

  /**
   * Takes more of what `deno test` has printed.
   *
   * @param chunk The bytes.
   */
  push(chunk: Uint8Array): void {
    const text = this.#partial + this.#decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    this.#partial = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  /**
   * Adds a line that is no result.
   *
   * @param text The line.
   */
  note(text: string): void {
    this.#report(`    ${text}`);
  }

  /**
   * Ends the report of a run that came to its end.
   *
   * @param exitCode The exit code of `deno test`.
   * @returns How many tests did what.
   */
  end(exitCode: number): Counts {
    if (this.#partial) this.#line(this.#partial);
    const counts = this.#summary ?? this.#seen;
    const whole = this.#summary !== undefined;
    if (whole && (exitCode === 0 || counts.failed > 0)) return counts;
    this.#say("FAILED", `deno test ended with exit code ${exitCode}`);
    return { ...counts, failed: counts.failed + 1 };
  }

  /**
   * Ends the report of a run whose guest died.
   *
   * @param error Why it died.
   * @returns How many tests did what; the one that was running has failed.
   */
  died(error: GuestDied): Counts {
    const [, unfinished] = this.#partial.match(/^ *(.*) \.\.\. ?$/) ?? [];
    const path = [...this.#running, ...(unfinished ? [unfinished] : [])];
    this.#say(
      "FAILED",
      path.length > 0 ? path.join(" > ") : "outside of any test",
    );
    for (const line of error.message.split("\n")) this.note(line);
    return { ...this.#seen, failed: this.#seen.failed + 1 };
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

  /** `name ...` when a test begins that has steps or prints, then its result. */
  #result(line: string): boolean {
    const [, indent, name, outcome, rest] =
      line.match(/^( *)(.*) \.\.\.(?: (ok|FAILED|ignored)( .*)?)?$/) ?? [];
    if (name === undefined) return false;
    this.#running.length = Math.min(this.#running.length, indent!.length / 2);
    const path = [...this.#running, name];
    if (outcome === undefined) {
      this.#running = path;
    } else {
      this.#seen[
        outcome === "ok"
          ? "passed"
          : outcome === "FAILED"
          ? "failed"
          : "ignored"
      ]++;
      this.#say(outcome, `${path.join(" > ")}${rest ?? ""}`);
    }
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
    this.#report(`${outcome} ${this.#machine}: ${text}`);
  }
}
