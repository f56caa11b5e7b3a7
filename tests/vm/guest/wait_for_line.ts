import { lines } from "../command.ts";

/** Waits until a process prints a line, and reads no further. */
export async function waitForLine(
  child: Deno.ChildProcess,
  line: string,
): Promise<void> {
  for await (const text of lines(child.stdout)) if (text === line) return;
  throw new Error(`The process ended before it said "${line}"`);
}
