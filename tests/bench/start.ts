/**
 * Measures the start of a process that imports an entry point, or runs the
 * command, in times of one that runs an empty script: the processor time.
 *
 * @module
 */
import { join } from "@std/path";
import { chooseConfig } from "../../scripts/dev/std.ts";
import { compare, type Comparison, type Contestant } from "./compare.ts";
import { processorTime } from "./processor_time.ts";

/**
 * The processes, and the most time each may take, in times of an empty script.
 */
const STARTS = [
  {
    what: "start of mod.ts",
    args: ["mod.ts"],
    target: 2.2,
    holds: "Deno takes a twelfth of a millisecond for an empty module, and a " +
      "quarter for one of 4 KiB with its imports.",
  },
  {
    what: "start of passthru --help",
    args: ["scripts/passthru.ts", "--help"],
    target: 1.6,
    holds: "Deno reads every module that the command can load, before it " +
      "runs: what a literal import() names, too. One of them takes 25 µs, 5 " +
      "more for each of its imports, and 2 for each KiB: half of the time. " +
      "Without them help takes 1.2. " +
      "A name that it cannot read from the text would cost the command a " +
      "permission, as a worker, require() and lazy-dynamic-imports would.",
  },
] as const;

/** Runs a script a number of times, one after the other. */
function starts(config: string, args: readonly string[]): Contestant {
  return (times) =>
    processorTime(async () => {
      for (let i = 0; i < times; i++) {
        const { success } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "--allow-ffi", "--config", config, ...args],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).output();
        if (!success) throw new Error(`Cannot run ${args.join(" ")}`);
      }
    });
}

/**
 * Measures the starts on this machine. An empty script takes the place of C.
 *
 * @param dir A directory for that script.
 * @param rounds How many rounds there are.
 */
export async function* measureStarts(
  dir: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  const config = await chooseConfig();
  const empty = join(dir, "empty.ts");
  await Deno.writeTextFile(empty, "");
  const c = starts(config, [empty]);
  for (const { args, ...contest } of STARTS) {
    const ts = starts(config, args);
    yield await compare({ ...contest, warmUp: 2, times: 1, rounds }, { ts, c });
  }
}
