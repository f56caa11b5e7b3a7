/**
 * What the commands say of machines of public reports: the table of
 * `tests/recordings/reports/README.md`.
 */
import { assert, assertEquals } from "@std/assert";
import { simulate } from "../../../lib/sim/host.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import reports from "../../recordings/reports/hosts.json" with { type: "json" };
import table from "../../recordings/reports/README.md" with { type: "text" };
import { call } from "../passthru_bench.ts";

const HOSTS = reports as unknown as Readonly<Record<string, Topology>>;

const ROWS = table.split("\n").filter((line) =>
  /^\| \w+ +\|.*#|^\| \w+ +\| \S/.test(line)
)
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
  .filter(([host]) => host !== "host" && host !== undefined);

/** What the doctor says, in the words of the table. */
async function doctorSays(
  host: Topology,
  functions: readonly string[],
): Promise<string> {
  const { out } = await call(host, ["doctor", ...functions, "--json"]);
  const { findings } = JSON.parse(out) as {
    findings: { check: string; verdict: string }[];
  };
  const texts = ["fail", "warn"].flatMap((wanted) => {
    const checks = findings.filter(({ verdict }) => verdict === wanted)
      .map(({ check }) => check);
    return checks.length === 0
      ? []
      : `${wanted}: ${[...new Set(checks)].join(", ")}`;
  });
  return texts.join("; ") || "fit";
}

/** How a command ends, in the words of the table. */
async function endOf(
  host: Topology,
  argv: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { out, code } = await call(host, [...argv, "--json"], { files });
  const { steps, error } = JSON.parse(out);
  return `${code}, ${code === 0 ? `${steps.length} steps` : error.code}`;
}

Deno.test("The table of reports has 30 hosts, and every host is in it", () => {
  assert(Object.keys(HOSTS).length >= 30);
  assertEquals(
    [...new Set(ROWS.map(([host]) => host))].toSorted(),
    Object.keys(HOSTS).toSorted(),
  );
});

for (const [name, , what, functions, doctor, bind, whole] of ROWS) {
  const asked = functions === "-" ? [] : functions!.split(" ");
  Deno.test(`passthru says of ${name} ${asked.join(" ")} what its report needs: ${what}`, async () => {
    const host = HOSTS[name!]!;
    const [first] = asked;
    assertEquals(await doctorSays(host, asked), doctor);
    if (first === undefined) return;
    const dryRun = ["bind", first, "--dry-run"];
    assertEquals(await endOf(host, dryRun), bind);
    assertEquals(await endOf(host, [...dryRun, "--whole-group"]), whole);
    for (
      const [group, expected] of [[{}, bind], [
        { group: "all endpoints" },
        whole,
      ]] as const
    ) {
      const select = simulate(host).function(first).address;
      const state = { functions: [{ select, driver: "vfio-pci", ...group }] };
      const files = { "state.json": JSON.stringify(state) };
      assertEquals(await endOf(host, ["plan", "state.json"], files), expected);
    }
    // The real run ends as the dry run said.
    const [code] = bind!.split(",");
    assertEquals(
      String((await call(simulate(host), ["bind", first])).code),
      code,
    );
  });
}
