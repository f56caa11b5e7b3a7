/**
 * The errors that a person can do something about.
 *
 * @module
 */

/** A machine cannot be prepared or run; the message alone says why. */
export class MachineError extends Error {
  override name = "MachineError";
}

/** A command failed; the message holds the last lines of its output. */
export class CommandError extends MachineError {
  override name = "CommandError";

  /**
   * @param command The program and its arguments.
   * @param status How it ended.
   * @param output The last lines of its output.
   */
  constructor(
    command: readonly string[],
    status: Deno.CommandStatus,
    output: readonly string[],
  ) {
    const how = status.signal ?? `exit code ${status.code}`;
    super(`"${command.join(" ")}" failed with ${how}:\n${output.join("\n")}`);
  }
}

/** A guest ended without the command's exit code. */
export class GuestDied extends MachineError {
  override name = "GuestDied";

  /** Why it ended. */
  readonly reason: string;
  /** The last lines of the kernel's console. */
  readonly console: string;

  /**
   * @param reason Why it ended.
   * @param console The last lines of the kernel's console.
   */
  constructor(reason: string, console: string) {
    super(`${reason}\nthe end of its console:\n${console}`);
    this.reason = reason;
    this.console = console;
  }
}
