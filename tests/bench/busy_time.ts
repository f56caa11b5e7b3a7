/**
 * How much of the time the processors of this machine are busy: whose process
 * it is does not matter, so that a kernel's interrupts and threads count.
 *
 * @module
 */

/** A command that prints what {@linkcode parseTimes} reads. */
export const PRINT_TIMES = "cat /proc/uptime /proc/stat";

/** The time that has passed, and in which nothing ran, in seconds. */
interface Times {
  readonly passed: number;
  readonly idle: number;
}

/** Ticks of `/proc/stat` in a second: `USER_HZ`. */
const TICKS = 100;

/** Reads what {@linkcode PRINT_TIMES} prints, on one processor. */
export function parseTimes(text: string): Times {
  const cpu = /^cpu +\d+ \d+ \d+ (\d+) (\d+)/m.exec(text)!;
  return {
    passed: parseFloat(text),
    idle: (Number(cpu[1]) + Number(cpu[2])) / TICKS,
  };
}

/** The busy part of the time between. */
export function busyPart(before: Times, after: Times): number {
  return 1 - (after.idle - before.idle) / (after.passed - before.passed);
}

/**
 * Measures the busy part of the time that work takes.
 *
 * @param work The work.
 * @returns What it returns, and the part.
 */
export async function whileBusy<T>(
  work: () => T | Promise<T>,
): Promise<[T, number]> {
  const now = () =>
    parseTimes(
      Deno.readTextFileSync("/proc/uptime") +
        Deno.readTextFileSync("/proc/stat"),
    );
  const before = now();
  const result = await work();
  return [result, busyPart(before, now())];
}
