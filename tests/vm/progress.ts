/**
 * Saying what takes time: what is being done, how long it usually takes, how
 * long it has been going, and where it is. Written to standard error, since
 * standard output belongs to what runs in the guest.
 *
 * @module
 */

/**
 * Does a piece of work while showing that it goes on.
 *
 * On a terminal the elapsed time and the newest detail stand on one line that
 * is rewritten; elsewhere a line is added every half minute.
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
  const terminal = Deno.stderr.isTerminal();
  const start = performance.now();
  const elapsed = () => duration(performance.now() - start);
  let detail = "";
  console.error(`${what} (${usually})`);
  const show = () => {
    const line = `  ${elapsed()}  ${detail}`;
    if (!terminal) return console.error(line.trimEnd());
    const width = Deno.consoleSize().columns - 1;
    Deno.stderr.writeSync(
      new TextEncoder().encode(`\r\x1b[K${line.slice(0, width)}`),
    );
  };
  const clear = () => {
    if (terminal) Deno.stderr.writeSync(new TextEncoder().encode("\r\x1b[K"));
  };
  const timer = setInterval(show, terminal ? 500 : 30_000);
  try {
    const result = await work((text) => detail = text.trim());
    clear();
    console.error(`  done in ${elapsed()}`);
    return result;
  } catch (error) {
    clear();
    console.error(`  failed after ${elapsed()}`);
    throw error;
  } finally {
    clearInterval(timer);
  }
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
