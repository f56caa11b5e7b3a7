/**
 * Plans which processors a machine has for itself, and where the interrupts of
 * functions go.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { exists, ifPresent, namesIn } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { changedFile } from "../settings/files.ts";
import type { IsolationState } from "../state/state.ts";
import { programPath } from "../steps/programs.ts";
import type {
  AttributeStep,
  ConfigurationFile,
  ConfigurationStep,
} from "../steps/step.ts";
import type { Entry } from "./target.ts";

const ONLINE = "/sys/devices/system/cpu/online";
/** Units that are gone at the next boot. */
const UNITS = "/run/systemd/system";
/** What has the processes of the host, and of its users. */
const OTHERS = ["system.slice", "user.slice", "init.scope"] as const;

/**
 * Plans the units by which systemd keeps processors free for a slice, and what
 * keeps irqbalance from them.
 *
 * @param host The host.
 * @param isolation The processors of the state.
 * @throws {VfioError} `NOT_SUPPORTED` when a processor is not online, none is
 * left for the host, or the host has no systemd.
 */
export function isolationSteps(
  { kernel }: Host,
  isolation: IsolationState | undefined,
): ConfigurationStep[] {
  if (isolation === undefined) return [];
  const { cpus, slice = "machine.slice" } = isolation;
  const mine = cpusIn(cpus, "isolation.cpus");
  const online = onlineCpus(kernel);
  assertOnline(mine, online, "isolation.cpus");
  const rest = online.filter((cpu) => !mine.includes(cpu));
  if (rest.length === 0) {
    throw new VfioError("NOT_SUPPORTED", {
      problem: "isolation.cpus leaves no processor to the host",
      hint: `it has ${cpuList(online)}`,
    });
  }
  const systemctl = programPath(kernel, "systemctl");
  if (systemctl === undefined) {
    throw new VfioError("NOT_SUPPORTED", {
      problem:
        "this host has no systemd, by whose slices processors are kept " +
        "free (isolation)",
      hint: "leave isolation out",
    });
  }
  const hasBalance = programPath(kernel, "irqbalance") !== undefined;
  const texts: [unit: string, text: string][] = [
    [slice, allowed("Slice", mine)],
    ...OTHERS.filter((unit) => unit !== slice).map((
      unit,
    ): [string, string] => [
      unit,
      allowed(unit.endsWith(".scope") ? "Scope" : "Slice", rest),
    ]),
    ...hasBalance
      ? [["irqbalance.service", banned(mine)] satisfies [string, string]]
      : [],
  ];
  const files = texts.flatMap(([unit, text]): ConfigurationFile[] => {
    const path = `${UNITS}/${unit}.d/50-passthru.conf`;
    const changed = changedFile(kernel, path, text);
    return changed === undefined ? [] : [changed];
  });
  const [first] = files;
  if (first === undefined) return [];
  return [{
    kind: "configuration",
    path: first.path,
    files,
    commands: [
      [systemctl, "daemon-reload"],
      ...hasBalance ? [[systemctl, "try-restart", "irqbalance.service"]] : [],
    ],
    settings: [`${slice} on ${cpuList(mine)}`],
    why: `the host has ${cpuList(rest)}`,
  }];
}

function allowed(section: string, cpus: readonly number[]): string {
  return `[${section}]\nAllowedCPUs=${cpuList(cpus)}\n`;
}

function banned(cpus: readonly number[]): string {
  return `[Service]\nEnvironment=IRQBALANCE_BANNED_CPULIST=${cpuList(cpus)}\n`;
}

/**
 * Plans where the interrupts of functions go.
 *
 * @param entries The functions of the state.
 * @param moving The addresses of functions whose driver changes: they have
 * other interrupts afterwards.
 * @throws {VfioError} `NOT_SUPPORTED` when a processor is not online, or the
 * function has no NUMA node.
 */
export function interruptSteps(
  entries: readonly Entry[],
  moving: ReadonlySet<string>,
): AttributeStep[] {
  return entries.flatMap(({ fn, at, state: { interrupts } }) => {
    if (interrupts === undefined) return [];
    const { host: { kernel }, address } = fn;
    const cpus = interrupts === "node"
      ? localCpus(fn, at)
      : cpusIn(interrupts, `${at}.interrupts`);
    assertOnline(cpus, onlineCpus(kernel), `${at}.interrupts`);
    if (moving.has(address)) return [];
    const value = cpuList(cpus);
    return interruptsOf(fn).flatMap((number): AttributeStep[] => {
      const path = `/proc/irq/${number}/smp_affinity_list`;
      const now = ifPresent(() => kernel.readFile(path))?.trim();
      if (now === undefined || now === value) return [];
      const why = interrupts === "node"
        ? `these processors are near it; now it is ${now}`
        : `now it is ${now}`;
      return [{ kind: "attribute", device: address, path, value, why }];
    });
  });
}

/** The numbers of the interrupts that a function has now. */
function interruptsOf({ path, host: { kernel } }: PciFunction): number[] {
  const messages = namesIn(kernel, `${path}/msi_irqs`).map(Number);
  if (messages.length > 0) return messages.sort((a, b) => a - b);
  const line = Number(ifPresent(() => kernel.readFile(`${path}/irq`)) ?? 0);
  return line > 0 && exists(kernel, `/proc/irq/${line}`) ? [line] : [];
}

function localCpus(fn: PciFunction, at: string): number[] {
  const { path, address, host: { kernel } } = fn;
  const text = ifPresent(() => kernel.readFile(`${path}/local_cpulist`))
    ?.trim();
  if (text) return cpusIn(text, at);
  throw new VfioError("NOT_SUPPORTED", {
    device: address,
    problem: `the kernel tells no processors near it (${at}.interrupts)`,
    hint: 'name them: "interrupts": "0-3"',
  });
}

function onlineCpus(kernel: Kernel): number[] {
  const text = ifPresent(() => kernel.readFile(ONLINE))?.trim();
  if (text) return cpusIn(text, ONLINE);
  throw new VfioError("NOT_SUPPORTED", {
    problem: `there is no ${ONLINE}, which lists the processors`,
    hint: "mount sysfs",
  });
}

function assertOnline(
  cpus: readonly number[],
  online: readonly number[],
  at: string,
): void {
  const missing = cpus.filter((cpu) => !online.includes(cpu));
  if (missing.length === 0) return;
  throw new VfioError("NOT_SUPPORTED", {
    problem: `this host has no processor ${cpuList(missing)} (${at})`,
    hint: `it has ${cpuList(online)}`,
  });
}

/** The most processors that Linux is built for on these architectures. */
const MOST = 8192;

/** The numbers of a list of processors, in order. */
function cpusIn(text: string, at: string): number[] {
  const numbers = text.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    if (last < first || last >= MOST) {
      throw new TypeError(
        `${at} is ${JSON.stringify(text)}: expected processors such as "2-5"`,
      );
    }
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** Writes processors as the kernel does: `"0-3,8"`. */
function cpuList(cpus: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < cpus.length;) {
    let end = i;
    while (cpus[end + 1] === cpus[end]! + 1) end++;
    parts.push(end === i ? `${cpus[i]}` : `${cpus[i]}-${cpus[end]}`);
    i = end + 1;
  }
  return parts.join(",");
}
