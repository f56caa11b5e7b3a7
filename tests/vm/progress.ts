/**
 * Saying what takes time: what is being done, how long it usually takes, how
 * long it has been going, and where it is. Written to standard error, since
 * standard output belongs to what runs in the guest.
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

/** Something that has begun and is not done. */
interface Running {
  readonly what: string;
  readonly start: number;
  detail: string;
}

const CLEAR = "\r\x1b[K";

/** How often the line of progress is rewritten, in milliseconds. */
const INTERVAL = 500;

/**
 * What goes on, also where several things do at the same time.
 *
 * Each says when it begins and when it is done. On a terminal one line below
 * all others is rewritten in between: that of what began last.
 */
export class Progress {
  readonly #screen: Screen;
  readonly #running: Running[] = [];
  /** Whose beginning is the last line that was printed. */
  #above: Running | undefined;
  /** Whether the line of progress is there. */
  #drawn = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param screen Where it is shown. */
  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /**
   * Does a piece of work while showing that it goes on.
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

  #end(own: Running, how: string): void {
    this.#running.splice(this.#running.indexOf(own), 1);
    if (this.#running.length === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.note(`  ${this.#name(own)}${how} ${elapsed(own)}`);
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

  /** What a line is about, where that is not said by the line above. */
  #name(own: Running): string {
    return this.#above === own ? "" : `${own.what}: `;
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
 * Does a piece of work while showing on standard error that it goes on; see
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

/** A text of at most so many characters. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 3)}…: `;
}

/**
 * A length of time for people to read.
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
