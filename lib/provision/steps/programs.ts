/**
 * Runs programs of the host, such as `modprobe` and `update-grub`.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { exists, sysfsError } from "../../host/sysfs.ts";
import { openersText, processes, processName } from "../../host/openers.ts";
import { basename } from "../../host/path.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { printable } from "../../printable.ts";
import { late, type Work } from "./kind.ts";

/** Where the programs of an administrator are. */
const DIRECTORIES = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** How long a name of a process is, in bytes (`TASK_COMM_LEN`). */
const NAME_LENGTH = 15;

/**
 * Returns the absolute path of a program; `undefined` where there is none.
 *
 * @param kernel The system.
 * @param name Its name.
 */
export function programPath(kernel: Kernel, name: string): string | undefined {
  return DIRECTORIES.map((directory) => `${directory}/${name}`)
    .find((path) => exists(kernel, path));
}

/**
 * Runs a program to its end. It is asked to end when the time is over.
 *
 * @param work The host and the deadline.
 * @param command Its absolute path, and its arguments.
 * @throws {VfioError} `PROGRAM_FAILED` when it fails, `PERMISSION_DENIED` when
 * this user may not run it, or `TIMED_OUT`.
 */
export async function runProgram(
  { host: { kernel }, deadline }: Work,
  command: readonly string[],
): Promise<void> {
  const [path = "", ...args] = command;
  const text = command.join(" ");
  const stop = new AbortController();
  const running = kernel.runAsync(path, args, stop);
  try {
    const { status, output } = await deadline.wait(
      running,
      () => late(undefined, `${text} did not end`, deadline),
    );
    if (status === 0) return;
    const last = output.trim().split("\n").slice(-3).map(printable).join("; ");
    throw new VfioError("PROGRAM_FAILED", {
      problem: `${text} failed with status ${status}` +
        (last === "" ? "" : `: ${last}`),
      hint: `run it by hand: ${text}`,
    });
  } catch (error) {
    stop.abort();
    running.catch(() => {});
    throw sysfsError(error);
  }
}

/**
 * Waits until no process runs a program. One that a killed process has started
 * goes on, and changes the host later.
 *
 * @param work The host and the deadline.
 * @param path The program.
 */
export async function untilNoneRuns(
  { host: { kernel }, deadline }: Work,
  path: string,
): Promise<void> {
  const name = basename(path).slice(0, NAME_LENGTH);
  const running = () =>
    processes(kernel).map((pid) => ({ pid, name: processName(kernel, pid) }))
      .filter((process) => process.name === name);
  await deadline.until(
    () => running().length === 0 ? true : undefined,
    () => late(undefined, `${openersText(running())} did not end`, deadline),
  );
}
