/**
 * Shows slow work: what is done, how long it usually takes, how long it has
 * taken, and how far it is. It goes to standard error, as standard output
 * belongs to the command in the guest.
 *
 * @module
 */

/** Where progress is shown. */
export interface Screen {
  /** Whether a line on it can be rewritten. */
  readonly terminal: boolean;
  /** How many characters a line of it has. */
  columns(): number;
  /** Writes to it, as standard error does. */
  write(text: string): void;
  /** Prints a line to standard output. */
  print(line: string): void;
}

/** Work that has begun and not ended. */
interface Running {
  readonly what: string;
  readonly start: number;
  detail: string;
}

const CLEAR = "\r\x1b[K";

/** How often the line of progress is rewritten, in milliseconds. */
const INTERVAL = 500;

/**
 * Shows the work that is going on, also several pieces at the same time.
 *
 * A line is printed when work begins and when it ends. On a terminal the last
 * line is rewritten in between, and shows the work that began last.
 */
export class Progress {
  readonly #screen: Screen;
  readonly #running: Running[] = [];
  /** The work whose beginning is the last printed line. */
  #above: Running | undefined;
  /** Whether the line of progress is on the screen. */
  #drawn = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param screen Where it is shown. */
  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /**
   * Does work, and shows that it goes on.
   *
   * @param what What is being done, as a sentence without its full stop.
   * @param usually How long it takes, for example `"about 8 minutes"`.
   * @param work The work; it may report where it is through `detail`.
   * @returns What `work` returns.
   */
  async step<T>(
    what: string,
    usually: string,
    work: (detail: (text: string) => void) => Promise<T>,
  ): Promise<T> {
    const running: Running = { what, start: performance.now(), detail: "" };
    this.note(`${what} (${usually})`);
    this.#above = running;
    this.#running.push(running);
    this.#draw();
    if (this.#screen.terminal) {
      this.#timer ??= setInterval(() => this.#draw(), INTERVAL);
    }
    try {
      const result = await work((text) => running.detail = text.trim());
      this.#end(running, "done in");
      return result;
    } catch (error) {
      this.#end(running, "failed after");
      throw error;
    }
  }

  /**
   * Prints a line to standard output, above the line of progress.
   *
   * @param line The line.
   */
  print(line: string): void {
    this.#insert(() => this.#screen.print(line));
  }

  /**
   * Prints a line to standard error, above the line of progress.
   *
   * @param line The line.
   */
  note(line: string): void {
    this.#insert(() => this.#screen.write(`${line}\n`));
  }

  #insert(print: () => void): void {
    if (this.#drawn) this.#screen.write(CLEAR);
    this.#drawn = false;
    print();
    this.#above = undefined;
    this.#draw();
  }

  #end(work: Running, how: string): void {
    this.#running.splice(this.#running.indexOf(work), 1);
    if (this.#running.length === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.note(`  ${this.#name(work)}${how} ${elapsed(work)}`);
  }

  #draw(): void {
    const { terminal } = this.#screen;
    const newest = this.#running.at(-1);
    if (!terminal || newest === undefined) return;
    const width = this.#screen.columns() - 1;
    const name = cut(this.#name(newest), Math.floor(width / 2));
    const line = `  ${name}${elapsed(newest)}  ${newest.detail}`;
    this.#screen.write(`${CLEAR}${line.slice(0, width)}`);
    this.#drawn = true;
  }

  /** The name to begin a line with, unless the line above has it. */
  #name(work: Running): string {
    return this.#above === work ? "" : `${work.what}: `;
  }
}

/** This process's progress, on its standard error. */
const PROCESS = new Progress({
  terminal: Deno.stderr.isTerminal(),
  columns: () => Deno.consoleSize().columns,
  write(text) {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      at += Deno.stderr.writeSync(bytes.subarray(at));
    }
  },
  print: (line) => console.log(line),
});

/**
 * Does work, and shows on standard error that it goes on; see
 * {@linkcode Progress.step}.
 *
 * @param what What is being done, as a sentence without its full stop.
 * @param usually How long it takes, for example `"about 8 minutes"`.
 * @param work The work; it may report where it is through `detail`.
 * @returns What `work` returns.
 */
export async function step<T>(
  what: string,
  usually: string,
  work: (detail: (text: string) => void) => Promise<T>,
): Promise<T> {
  return await PROCESS.step(what, usually, work);
}

/**
 * Prints a line to standard output while steps may be going on.
 *
 * @param line The line.
 */
export function print(line: string): void {
  PROCESS.print(line);
}

/**
 * Prints a line to standard error while steps may be going on.
 *
 * @param line The line.
 */
export function note(line: string): void {
  PROCESS.note(line);
}

function elapsed({ start }: Running): string {
  return duration(performance.now() - start);
}

/** Shortens a text to at most `length` characters. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}…: `;
}

/**
 * Formats a length of time for people.
 *
 * @param milliseconds The length.
 * @returns For example `"4.2 s"` or `"7 min 51 s"`.
 */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  return seconds < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}
