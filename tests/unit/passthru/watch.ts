/** `passthru apply --watch`, and lines of progress. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import { call } from "../passthru_bench.ts";
// Loaded before, as virtual time passes while a command is loaded.
import "../../../scripts/passthru/commands/apply.ts";

const A = "0000:01:00.0";
const MACHINE = {
  functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
} as const;
const files = {
  "state.json": JSON.stringify({
    functions: [{ select: A, driver: "vfio-pci" }],
  }),
};

/** Runs a watch until it has written a text. */
async function until(text: string, argv: readonly string[]) {
  const stop = new AbortController();
  const host = simulate(MACHINE);
  const outcome = await call(host, ["apply", "state.json", ...argv], {
    files,
    signal: stop.signal,
    written: (out) => out.includes(text) && stop.abort(),
  });
  return { ...outcome, host };
}

Deno.test("passthru apply --watch says what drifts and what is mended, and ends with exit code 0", async () => {
  const { code, out, host } = await until("settled", ["--watch"]);
  assertEquals(code, 0);
  const time = "\\d{4}-\\S+Z";
  assertMatch(
    out,
    new RegExp(
      `^${time} drifted ${A}: driver vfio-pci \\(e1000e has it\\)\n` +
        `${time} mended ${A}: driver vfio-pci\n${time} settled\n$`,
    ),
  );
  // What it has applied stays.
  assertEquals(host.function(A).driver, "vfio-pci");
});

Deno.test("passthru apply --watch --json writes a line of JSON for each event", async () => {
  const { out } = await until("settled", ["--watch", "--json"]);
  const lines = out.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ event }) => event), [
    "drifted",
    "mended",
    "settled",
  ]);
  assertEquals(lines[1].steps[0].device, A);
});

Deno.test("passthru --progress writes each step as a line of JSON on standard error", async () => {
  const { err, code } = await call(
    MACHINE,
    ["apply", "state.json", "--progress"],
    { files },
  );
  assertEquals(code, 0);
  const steps = err.trim().split("\n").map((line) => JSON.parse(line).step);
  assertEquals(steps, [`${A}: driver vfio-pci`]);
});

Deno.test("passthru apply --at-boot --watch installs a unit that keeps the host at the state", async () => {
  const host = simulate(MACHINE);
  const argv = ["apply", "state.json", "--at-boot", "desk", "--watch"];
  assertEquals((await call(host, argv, { files })).code, 0);
  assertStringIncludes(
    host.kernel.readFile(
      "/etc/systemd/system/passthru-desk:watch.service",
    ),
    "apply --watch --json --name desk /etc/passthru/desk.json",
  );
});
