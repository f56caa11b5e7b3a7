/**
 * Runs every command that is printed as a remedy, on every recorded host: it
 * works, and what it is a remedy for is over then. What is written to sysfs is
 * written, and what changes the kernel's command line is tried on a host that
 * was booted so.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { simulate, type SimulatedHost } from "../../../lib/sim/host.ts";
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
  unsafe: { kernel: { unsafeNoIommu: true, commandLine: "quiet" } },
  switchedOff: {
    kernel: {
      commandLine: "quiet pci=realloc,nomsi,disable_acs_redir=0000:00:1c.0 " +
        "pcie_acs_override=downstream",
    },
    functions: { "0000:00:03.0": { id: "8086:10d3", driver: "e1000e" } },
  },
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

/** What a remedy writes to files: the value and the path. */
function writesIn(text: string): (readonly [string, string])[] {
  return [...text.matchAll(/echo (\S+) > (\/[^\s;,)]+)/g)]
    .map(([, value, path]) => [value!, path!] as const);
}

/** The drivers and modules that a remedy loads. */
function modulesIn(text: string): string[] {
  return [...text.matchAll(/modprobe (?!-)(\S+?)(?=[;,]|\s|$)/g)]
    .map(([, name]) => name!);
}

/** What a remedy takes from the kernel's command line. */
function removedIn(text: string): string[] {
  return [...text.matchAll(
    /remove (\S+)(?: of \S+)? from the kernel's command line/g,
  )].map(([, word]) => word!);
}

/** What a remedy puts on the kernel's command line. */
function addedIn(text: string): string[] {
  return [
    ...text.matchAll(/boot with (?:the kernel parameter )?([a-z]\S*=\S+)/g),
  ]
    .map(([, word]) => word!.replace(/[;,]$/, ""));
}

/** Whether a diagnosis has a finding still. */
async function stillHas(
  host: Topology | SimulatedHost,
  { command, check, device, remedy }: Printed,
): Promise<boolean> {
  const { out } = await call(
    host,
    command[0] === "doctor" ? [...command, "--json"] : ["doctor", device!],
  );
  const { findings = [] } = JSON.parse(out);
  return findings.some((finding: Printed) =>
    finding.check === check && (finding.device ?? device) === device &&
    finding.remedy === remedy
  );
}

/** Tries what a remedy says besides this command's own commands. */
async function tryByHand(topology: Topology, printed: Printed): Promise<void> {
  const { remedy, check } = printed;
  const host = simulate(topology);
  const { kernel } = host;
  const about = `${printed.command.join(" ")} printed: ${remedy}`;
  for (const [value, path] of writesIn(remedy)) {
    if (path.startsWith("/etc/")) continue;
    kernel.writeFile(path, value);
  }
  // The others show what a recording has in a file.
  if (check === "no-iommu-mode") assert(!await stillHas(host, printed), about);
  for (const name of modulesIn(remedy)) {
    assertMatch(name, /^[a-z][a-z0-9_-]*$|^DRIVER$/, about);
  }
  const line = kernel.readFile("/proc/cmdline").trim();
  for (const word of removedIn(remedy)) {
    assert(line.includes(word), `${about}\nthe command line is ${line}`);
    const without = line.split(" ").map((each) =>
      each.startsWith("pci=")
        ? `pci=${
          each.slice(4).split(",").filter((option) => !option.startsWith(word))
            .join(",")
        }`
        : each
    ).filter((each) => each !== word && !each.startsWith(`${word}=`)).join(" ");
    assert(without !== line, about);
    const booted = {
      ...topology,
      kernel: { ...topology.kernel, commandLine: without },
    };
    assert(!await stillHas(booted, printed), about);
  }
  for (const word of addedIn(remedy)) {
    assertMatch(word, /^[a-z][\w.-]*=[\w.,:-]+$/, about);
    assert(
      !line.split(" ").includes(word),
      `${about}: ${word} is there already`,
    );
  }
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

/** What the doctor prints about a whole host. */
async function printedAboutHost(topology: Topology): Promise<Printed[]> {
  const { out } = await call(topology, ["doctor", "--json"]);
  return JSON.parse(out).findings
    .filter(({ remedy }: Printed) => remedy !== null)
    .map((finding: Printed) => ({ ...finding, command: ["doctor"] }));
}

for (const [name, topology] of Object.entries(HOSTS)) {
  Deno.test(`Every remedy that passthru prints about ${name} works when it is typed`, async () => {
    for (const printed of await printedAboutHost(topology)) {
      await tryByHand(topology, printed);
    }
    for (const { address } of simulate(topology).functions()) {
      for (const printed of await printedAbout(topology, address)) {
        const { check, device, remedy, command } = printed;
        await tryByHand(topology, printed);
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
