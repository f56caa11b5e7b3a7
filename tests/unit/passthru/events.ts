/** `passthru events`, and the end of commands whose device is asked for. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Host } from "../../../mod.ts";
import { simulate, type SimulatedHost } from "../../../lib/sim/mod.ts";
import type { DevicePort } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/mod.ts";
import { call } from "../passthru_bench.ts";
// Loaded before, as virtual time passes while a command is loaded.
import "../../../scripts/passthru/commands/attach.ts";
import "../../../scripts/passthru/commands/events.ts";

const A = "0000:01:00.0";

/** A host with a function that the test fires. */
function hostWith(
  interrupts: { msi?: number; msix?: number; intx?: boolean },
  functions: Topology["functions"] = {},
) {
  let port: DevicePort;
  const { msi = 0, msix = 0, intx = false } = interrupts;
  const host = simulate({
    functions: {
      [A]: {
        driver: "vfio-pci",
        model: {
          name: "bell",
          id: "1234:5678",
          class: 0xff0000,
          resets: [],
          create(given) {
            port = given;
            return { bars: [], msi, msix, intx, reset() {} };
          },
        },
      },
      ...functions,
    },
  });
  return {
    host,
    fire: (vector: number) => port.interrupt(vector),
    line: (asserted: boolean) => port.line(asserted),
  };
}

/** Runs the command, and does steps, each a while after the one before. */
async function during(
  host: Host,
  argv: readonly string[],
  steps: readonly (() => void)[],
) {
  const controller = new AbortController();
  const done = call(host, argv, { signal: controller.signal });
  for (const step of steps) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    step();
  }
  const end = setTimeout(() => controller.abort(), 2000);
  try {
    return await done;
  } finally {
    clearTimeout(end);
  }
}

/** Another process unbinds the function. */
function unbind({ machine }: SimulatedHost): void {
  const path = "/sys/bus/pci/drivers/vfio-pci/unbind";
  machine.spawn().writeFileAsync(path, A);
}

Deno.test("passthru events prints interrupts and errors as they come", async () => {
  const { host, fire } = hostWith({ msix: 4 });
  const { code, out } = await during(host, ["events", A], [
    () => {
      fire(3);
      fire(3);
      fire(0);
    },
    () => host.machine.reportError(A),
  ]);
  assertEquals(code, 0);
  const lines = out.split("\n").map((line) => line.trim());
  assertMatch(lines[0]!, /^0\.\d{3} {2}MSI-X 3 +2$/);
  assertMatch(lines[1]!, /^0\.\d{3} {2}MSI-X 0 +1$/);
  assertMatch(lines[2]!, /^[01]\.\d{3} {2}error +1$/);
});

Deno.test("passthru events ends with the device when somebody unbinds it", async () => {
  const { host } = hostWith({ msi: 1 });
  const { code, out, err } = await during(host, ["events", A, "--json"], [
    () => unbind(host),
  ]);
  assertEquals(code, 0);
  const { name, vector, count } = JSON.parse(out);
  assertEquals([name, vector, count], ["request", 0, 1]);
  assertStringIncludes(err, `${A}: the kernel asks for it back\n`);
  assertEquals(host.function(A).driver, undefined);
});

Deno.test("passthru events unmasks a line a second after it has fired", async () => {
  const { host, line } = hostWith({ intx: true, msi: 1 });
  const argv = ["events", A, "--irq", "intx", "--json"];
  const { out } = await during(host, argv, [() => line(true)]);
  const times = out.trimEnd().split("\n").map((line) => JSON.parse(line).time);
  assertEquals(times.map((time) => Math.round(time / 1000)), [1, 2]);
});

Deno.test("passthru events says what it cannot print", async () => {
  const { host } = hostWith({ msi: 1 });
  const { code, err } = await call(host, ["events", A, "--irq", "msix"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "it has no msix interrupts");
  const { code: usage } = await call(host, ["events", A, "--irq", "x"]);
  assertEquals(usage, 2);
  const none = hostWith({});
  assertEquals((await during(none.host, ["events", A], [])).code, 0);
});

Deno.test("passthru attach ends when somebody unbinds the device", async () => {
  const { host } = hostWith({ msi: 1 });
  const { code, err } = await during(host, ["attach", A], [() => unbind(host)]);
  assertEquals(code, 0);
  assertStringIncludes(err, `${A}: the kernel asks for it back\n`);
  assertEquals(host.function(A).driver, undefined);
});
