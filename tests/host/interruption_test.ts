/**
 * The signals that ask a process to end, sent to one.
 */
import { assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";

const SCRIPT = `import { Interruption } from "${new URL("mod.ts", ROOT)}";
const interruption = new Interruption();
console.log("ready");
await interruption.wait();
console.log(String(interruption.signal.reason));
await new Promise((resolve) => setTimeout(resolve, 60_000));
`;

/** Runs the script, and sends a signal after each of its lines. */
async function run(
  signals: readonly Deno.Signal[],
  flags: readonly string[],
): Promise<{ lines: string[]; status: Deno.CommandStatus }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...["run", "--no-prompt", "--no-config", ...flags], "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(SCRIPT));
  await writer.close();
  let out = "";
  let sent = 0;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    out += text;
    const lines = out.split("\n").length - 1;
    for (; sent < Math.min(lines, signals.length); sent++) {
      child.kill(signals[sent]!);
    }
  }
  return { lines: out.trimEnd().split("\n"), status: await child.status };
}

for (const flags of [["--allow-ffi"], []]) {
  const what = flags.length === 0 ? "no permission" : flags[0]!;
  Deno.test(`Interruption aborts its signal by the first signal, and a second one ends the process, with ${what}`, async () => {
    const { lines, status } = await run(["SIGTERM", "SIGINT"], flags);
    assertEquals(lines, ["ready", "AbortError: Interrupted by SIGTERM"]);
    assertEquals([status.signal, status.code], ["SIGINT", 130]);
  });
}
