import { assertEquals, assertStringIncludes } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import { call, type Outcome } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const HOST = { functions: { [A]: { id: "8086:10d3", driver: "e1000e" } } };

/** A host in a file, on which one command after the other acts. */
class HostFile {
  /** The files by path. */
  readonly files: Record<string, string> = {
    "host.json": JSON.stringify(HOST),
    "state.json": JSON.stringify({
      functions: [{ select: A, driver: "vfio-pci" }],
      memoryLimit: { "1000": "1G" },
    }),
  };
  /** How often it was written. */
  saves = 0;

  /** Runs a command on it. */
  async run(...argv: string[]): Promise<Outcome> {
    return await call({}, ["--simulate", "host.json", ...argv], {
      files: this.files,
      saved: (path, text) => {
        this.saves++;
        this.files[path] = text;
      },
    });
  }
}

Deno.test("passthru --keep keeps what a command changes for the next one", async () => {
  const host = new HostFile();
  const applied = await host.run("--keep", "apply", "state.json");
  assertEquals([applied.code, applied.err], [0, ""]);
  const { out } = await host.run("status");
  assertStringIncludes(out, "passthru apply state.json since ");
  assertStringIncludes(out, `  holds  ${A}: driver vfio-pci\n`);
  const again = await host.run("apply", "state.json");
  assertEquals(again.out, "Nothing to do.\n");
  const restored = await host.run("restore", "--keep");
  assertEquals(
    restored.out,
    "undone: /etc/security/limits.d/90-passthru-1000.conf: 2 lines\n" +
      `undone: ${A}: driver vfio-pci\n`,
  );
  assertEquals((await host.run("status")).out, "Nothing is applied.\n");
  const last = simulate(JSON.parse(host.files["host.json"]!));
  assertEquals(last.function(A).driver, "e1000e");
});

Deno.test("passthru writes the file of --simulate only with --keep, and when something was changed", async () => {
  const host = new HostFile();
  await host.run("apply", "state.json");
  await host.run("--keep", "list");
  await host.run("--keep", "plan", "state.json");
  assertEquals(host.saves, 0);
});

Deno.test("passthru --keep keeps what a command that fails has changed", async () => {
  const host = new HostFile();
  await host.run("--keep", "bind", A);
  const topology = JSON.parse(host.files["host.json"]!);
  topology.functions[A].driver = "pci-stub";
  topology.functions[A].override = "pci-stub";
  topology.kept.vfio = {};
  host.files["host.json"] = JSON.stringify(topology);
  const { code } = await host.run("--keep", "restore");
  assertEquals(code, 1);
  assertStringIncludes((await host.run("status")).out, "changed since");
});

Deno.test("passthru exits with 2 when --keep has no file to keep it in", async () => {
  for (const simulated of [[], ["--simulate=-"]]) {
    const { code, err } = await call(HOST, ["list", "--keep", ...simulated], {
      files: { "-": "{}" },
    });
    assertEquals(code, 2);
    assertStringIncludes(err, "--keep needs a file: --simulate FILE --keep");
  }
});
