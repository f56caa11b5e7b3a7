/**
 * Runs every command that is printed as a remedy, on every recorded host: it
 * works, and what it is a remedy for is over then.
 */
import { assertEquals } from "@std/assert";
import { simulate } from "../../../lib/sim/host.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import amd from "../../recordings/amd_b550.json" with { type: "json" };
import dell from "../../recordings/dell_vmd.json" with { type: "json" };
import hp from "../../recordings/hp_dl388p_gen8.json" with { type: "json" };
import supermicro from "../../recordings/supermicro_x11scl.json" with {
  type: "json",
};
import testbed from "../../recordings/testbed.json" with { type: "json" };
import sriov from "../../recordings/testbed_sriov.json" with { type: "json" };
import thinkpad from "../../recordings/thinkpad_p53.json" with { type: "json" };
import reports from "../../recordings/reports/hosts.json" with { type: "json" };
import { call } from "../passthru_bench.ts";

const HOSTS = {
  amd,
  dell,
  hp,
  supermicro,
  testbed,
  sriov,
  thinkpad,
  ...reports,
} as unknown as Readonly<Record<string, Topology>>;

/** A remedy, and what it is for. */
interface Printed {
  readonly command: readonly string[];
  readonly check: string;
  readonly device?: string;
  readonly remedy: string;
}

/** The commands in a text, in order. */
function commandsIn(text: string): string[][] {
  return [...text.matchAll(/passthru ((?:bind|vfs|unbind|attach) [\w:. -]+)/g)]
    .map(([, words]) => words!.trim().split(" "));
}

/** What the commands that look print about a function, or about a group. */
async function printedAbout(
  topology: Topology,
  address: string,
): Promise<Printed[]> {
  const host = simulate(topology);
  const found: Printed[] = [];
  const json = async (command: readonly string[]) =>
    JSON.parse((await call(host, [...command, "--json"])).out);
  const doctor = ["doctor", address];
  for (const { check, device, remedy } of (await json(doctor)).findings) {
    if (remedy === null) continue;
    found.push({ command: doctor, check, device: device ?? address, remedy });
  }
  const show = ["show", address];
  const { remedy, iommuGroup, viable } = await json(show);
  if (remedy !== null) {
    found.push({
      command: show,
      check: "group-viable",
      device: address,
      remedy,
    });
  }
  if (viable === false) {
    const groups = ["groups", String(iommuGroup)];
    const [{ remedy }] = await json(groups);
    if (remedy !== null) {
      found.push({ command: groups, check: "viable", device: address, remedy });
    }
  }
  const bind = ["bind", address, "--dry-run"];
  const { error } = await json(bind);
  if (error?.hint != null) {
    const insist = /^end that use, or insist by name:((?: --insist [\w:.]+)+)/
      .exec(error.hint)?.[1];
    found.push({
      command: bind,
      check: "bind",
      device: address,
      remedy: insist === undefined
        ? error.hint
        : `passthru bind ${address} ${insist.trim()}`,
    });
  }
  return found;
}

for (const [name, topology] of Object.entries(HOSTS)) {
  Deno.test(`Every remedy that passthru prints about ${name} works when it is typed`, async () => {
    for (const { address } of simulate(topology).functions()) {
      for (const printed of await printedAbout(topology, address)) {
        const { check, device, remedy, command } = printed;
        const commands = commandsIn(remedy);
        if (commands.length === 0) continue;
        const host = simulate(topology);
        for (const argv of commands) {
          const { code, err } = await call(host, argv);
          const about = `${command.join(" ")} printed: ${remedy}`;
          assertEquals([code, err], [0, ""], `${about}\nran ${argv.join(" ")}`);
        }
        if (check !== "group-viable" && check !== "host-use") continue;
        const { out } = await call(host, ["doctor", device!, "--json"]);
        // The function may have gone with a domain.
        if (JSON.parse(out).error !== undefined) continue;
        assertEquals(
          JSON.parse(out).findings.filter((finding: {
            check: string;
            verdict: string;
          }) => finding.check === check && finding.verdict === "fail"),
          [],
          `after ${remedy}`,
        );
      }
    }
  });
}
