/**
 * Runs test files in a guest, and prints each result on the host as it comes.
 *
 * @module
 */
import { resolve, toFileUrl } from "@std/path";
import { lines } from "./command.ts";
import { GuestDied } from "./errors.ts";
import { CHECKOUT, runInGuest } from "./guest.ts";
import { cacheModules, denoCommand } from "./guest_deno.ts";
import { EVERYTHING } from "./machine_env.ts";
import type { Machine } from "./machines.ts";
import type { Outcome } from "../../scripts/dev/outcome.ts";
import { TestModule } from "./test_module.ts";
import { type KernelLog, TestReport } from "./test_report.ts";

/** How tests are run. */
export interface RunOptions {
  /** Further flags of `deno test`, for example `--filter=dma`. */
  readonly flags?: readonly string[];
  /** Whether older kernels try all that the newest does. */
  readonly everything?: boolean;
  /** Called with each result and its details. */
  readonly report?: (lines: string) => void;
}

/**
 * How long a guest may take from one result to the next, in milliseconds: many
 * times what the slowest test takes, so this ends a guest that hangs, but not a
 * slow one.
 */
const RESULT_LIMIT = 900_000;

/**
 * Runs test files in a machine.
 *
 * A run that ends without a result, because a module does not load or the guest
 * dies, counts as a further failed test. The report names the test that was
 * running.
 *
 * @param machine The machine to boot.
 * @param files The test modules, paths from the checkout or absolute.
 * @param options How they are run.
 * @returns The outcome of the tests and their steps.
 *
 * @example
 * ```ts
 * import { machineNamed } from "./machines.ts";
 * import { prepare } from "./prepare.ts";
 * import { runTests } from "./run_tests.ts";
 *
 * const machine = machineNamed("testbed");
 * await prepare([machine]);
 * const { failed } = await runTests(machine, ["tests/vm/guest/dma_test.ts"]);
 * ```
 */
export async function runTests(
  machine: Machine,
  files: readonly string[],
  { flags = [], everything = false, report = console.log }: RunOptions = {},
): Promise<Outcome> {
  // Deno gives each module of tests an isolate of its own, which loads the
  // library anew: a quarter of a minute in an emulated guest.
  await using all = await TestModule.write(importing(files));
  await cacheModules([all.path]);
  const kernelConsole = await Deno.makeTempFile({ prefix: "passthru-" });
  const log = new ConsoleLog(kernelConsole);
  const hang = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => hang.abort(`no result for ${RESULT_LIMIT / 1000} s`),
      RESULT_LIMIT,
    );
  };
  const results = new TestReport(machine.name, (lines) => {
    alive();
    report(lines);
  }, log);
  alive();
  try {
    const exitCode = await runInGuest(machine, {
      command: denoCommand("test", ["--no-prompt", ...flags, all.path]),
      env: {
        NO_COLOR: "1",
        ...everything ? { [EVERYTHING]: "1" } : {},
      },
      signal: hang.signal,
      console: kernelConsole,
      stdout: async (stream) => {
        for await (const chunk of stream) results.push(chunk);
      },
      stderr: async (stream) => {
        for await (const line of lines(stream)) results.note(line);
      },
    });
    return results.end(exitCode);
  } catch (error) {
    if (!(error instanceof GuestDied)) throw error;
    return results.died(error);
  } finally {
    clearTimeout(timer);
    await Deno.remove(kernelConsole);
  }
}

function importing(files: readonly string[]): string {
  return files
    .map((file) => `import "${toFileUrl(resolve(CHECKOUT, file)).href}";\n`)
    .join("");
}

/** The kernel's log, which is written to a file meanwhile. */
class ConsoleLog implements KernelLog {
  readonly #path: string;
  #taken = 0;

  constructor(path: string) {
    this.#path = path;
  }

  take(): readonly string[] {
    const text = Deno.readTextFileSync(this.#path);
    const more = text.slice(this.#taken);
    this.#taken = text.length;
    return more.split(/\r?\n/).filter((line) => line !== "");
  }
}
