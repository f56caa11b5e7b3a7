/**
 * Running test files in a guest and telling their results on the host, as they
 * come.
 *
 * @module
 */
import { lines } from "./command.ts";
import { GuestDied } from "./errors.ts";
import { runInGuest } from "./guest.ts";
import { cacheModules, denoCommand } from "./guest_deno.ts";
import type { Machine } from "./machines.ts";
import { type Counts, TestReport } from "./test_report.ts";

export { type Counts } from "./test_report.ts";

/** How long a guest may say nothing, in milliseconds. */
const SILENCE_LIMIT = 300_000;

/**
 * Runs test files in a machine.
 *
 * A run that ends without a result, because a module does not load or the guest
 * dies, counts as one failed test more, and the report says during which test.
 *
 * @param machine The machine to boot.
 * @param files The test modules, paths from the checkout or absolute.
 * @param flags Further flags of `deno test`, for example `--filter=dma`.
 * @param report Called with each line of the report.
 * @returns How many tests and steps did what.
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
  flags: readonly string[] = [],
  report: (line: string) => void = console.log,
): Promise<Counts> {
  await cacheModules(files);
  const results = new TestReport(machine.name, report);
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => silence.abort(`nothing heard for ${SILENCE_LIMIT / 1000} s`),
      SILENCE_LIMIT,
    );
  };
  alive();
  try {
    const exitCode = await runInGuest(machine, {
      command: denoCommand("test", ["--no-prompt", ...flags, ...files]),
      env: { NO_COLOR: "1" },
      signal: silence.signal,
      stdout: async (stream) => {
        for await (const chunk of stream) {
          alive();
          results.push(chunk);
        }
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
  }
}
