/**
 * `passthru show`
 *
 * @module
 */

import { functionsOfBus } from "../../../lib/host/pci/topology/bus_reset.ts";
import { hex, hexDigits } from "../../../lib/hex.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { Obstacle } from "../../../lib/host/device.ts";
import { usesOf } from "../../../lib/host/guards/uses.ts";
import { groupRemedy } from "../../../lib/host/pci/group_remedy.ts";
import { explainNoGroup } from "../../../lib/host/iommu/no_iommu.ts";
import { nodePaths } from "../../../lib/host/iommu/nodes.ts";
import {
  type Opener,
  openers,
  openersText,
} from "../../../lib/host/openers.ts";
import type { Bar, PciFunction } from "../../../lib/host/pci/function.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
import { fields, sizeText } from "../output/format.ts";
import {
  description,
  type FunctionJson,
  functionJson,
} from "../output/function_json.ts";
import { isTold, unknownOf } from "../run/untold.ts";
import { styled, type Terminal, writeJson } from "../terminal/terminal.ts";

/** A BAR in JSON. */
export interface BarJson {
  /** Its number. */
  readonly index: number;
  /** `"memory"` or `"io"`. */
  readonly kind: "memory" | "io";
  /** Whether it can lie above 4 GiB. */
  readonly is64bit: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable: boolean;
  /** Hexadecimal, as it can exceed what a number holds. */
  readonly start: string;
  /** Bytes. */
  readonly size: number;
}

/** A device that keeps its group from being used, in JSON. */
export interface ObstacleJson {
  /** The device. */
  readonly device: string;
  /** Its driver. */
  readonly driver: string;
  /** What to do. */
  readonly remedy: string;
}

/** A function in JSON, with all that is known of it. */
export interface ShowJson extends FunctionJson {
  /** Four hexadecimal digits. */
  readonly subsystemVendor: string;
  /** Four hexadecimal digits. */
  readonly subsystemDevice: string;
  /** Two hexadecimal digits. */
  readonly revision: string;
  /** Its path in sysfs. */
  readonly path: string;
  /** The only driver that may bind to it. */
  readonly driverOverride: string | null;
  /** The NUMA node it is next to. */
  readonly numaNode: number | null;
  /** Every member of its group, including itself. */
  readonly groupMembers: readonly string[];
  /** Whether the group could be used now; `null` without one. */
  readonly viable: boolean | null;
  /** What keeps the group from being used. */
  readonly obstacles: readonly ObstacleJson[];
  /** What to type so that the group can be used; `null` where it can. */
  readonly remedy: string | null;
  /** What the host uses it for, as clauses. */
  readonly uses: readonly string[];
  /** Why it has no group. */
  readonly noGroup: { readonly problem: string; readonly hint: string } | null;
  /** Its BARs. */
  readonly bars: readonly BarJson[];
  /** The methods to reset it, the preferred one first. */
  readonly resetMethods: readonly string[];
  /** What a reset of its bus takes, itself included; `null` on a root bus. */
  readonly hotReset: readonly string[] | null;
  /** The physical function of a virtual function. */
  readonly physicalFunction: string | null;
  /** Its virtual functions. */
  readonly virtualFunctions: readonly string[];
  /** The VFIO nodes to open it by. */
  readonly nodes: readonly string[];
  /** The processes that have one of them open. */
  readonly openers: readonly Opener[];
  /** What a posted text does not tell of the host; empty for a real host. */
  readonly unknown: readonly string[];
}

/** An obstacle in JSON. */
export function obstacleJson(
  { device, driver, remedy }: Obstacle,
): ObstacleJson {
  return { device: device.name, driver, remedy: commandRemedy(device, remedy) };
}

/** Replaces the function call of a remedy by a command. */
function commandRemedy(device: Obstacle["device"], remedy: string): string {
  if (!remedy.includes("host.take(")) return remedy;
  const { name, bus, driver } = device;
  return bus === "pci"
    ? `leave ${name} without a driver: passthru bind ${name} none`
    : `unbind ${name}: echo ${name} > /sys/bus/${bus}/drivers/${driver}/unbind`;
}

function barJson(
  { index, kind, is64bit, prefetchable, start, size }: Bar,
): BarJson {
  return {
    index,
    kind,
    is64bit,
    prefetchable,
    start: hex(start),
    size,
  };
}

function barText({ index, kind, is64bit, prefetchable, start, size }: BarJson) {
  return `${index}: ${sizeText(size)} of ${kind === "io" ? "ports" : kind}` +
    `${kind === "io" ? "" : is64bit ? ", 64 bits" : ", 32 bits"}` +
    `${prefetchable ? ", prefetchable" : ""} at ${start}`;
}

/** Reads all that is known of a function, but for who has it open. */
export function factsJson(
  host: Host,
  fn: PciFunction,
): Omit<ShowJson, "openers"> {
  const group = fn.iommuGroup;
  const viability = group?.viability();
  const nodes = nodePaths([fn]);
  return {
    ...functionJson(fn),
    subsystemVendor: hexDigits(fn.subsystemVendor, 4),
    subsystemDevice: hexDigits(fn.subsystemDevice, 4),
    revision: hexDigits(fn.revision, 2),
    path: fn.path,
    driverOverride: fn.driverOverride ?? null,
    numaNode: fn.numaNode ?? null,
    groupMembers: group?.devices.map(({ name }) => name) ?? [],
    viable: viability?.viable ?? null,
    obstacles: viability?.viable === false
      ? viability.obstacles.map(obstacleJson)
      : [],
    remedy: viability?.viable === false
      ? groupRemedy(group!, viability.obstacles, fn)
      : null,
    uses: usesOf(host, fn).map(({ problem }) => problem),
    noGroup: group === undefined && isTold(host, "groups")
      ? explainNoGroup(fn)
      : null,
    bars: fn.bars.map(barJson),
    resetMethods: fn.resetMethods,
    hotReset: functionsOfBus(fn)?.map(({ address }) => address) ?? null,
    physicalFunction: fn.physicalFunction?.address ?? null,
    virtualFunctions: fn.virtualFunctions.map(({ address }) => address),
    nodes,
    unknown: unknownOf(host),
  };
}

/** Reads all that is known of a function. */
export function showJson(host: Host, fn: PciFunction): ShowJson {
  const { unknown, ...facts } = factsJson(host, fn);
  return { ...facts, openers: openers(host.kernel, facts.nodes), unknown };
}

/** Shows all that is known of a function. */
export function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): number {
  const fn = fromUser(() => host.function(args.operands[0]!));
  const shown = showJson(host, fn);
  if (args.has("json")) writeJson(terminal, shown);
  else terminal.write(showText(terminal, shown));
  return EXIT.DONE;
}

const orNone = (texts: readonly string[], separator = ", ") =>
  texts.length === 0 ? undefined : texts.join(separator);

function showText(terminal: Terminal, shown: ShowJson): string {
  return fields(showRows(terminal, shown), terminal.width);
}

/** The rows that show a function to people. */
export function showRows(
  terminal: Pick<Terminal, "colour">,
  shown: ShowJson,
): (readonly [name: string, value: string | undefined])[] {
  const { subsystemVendor, subsystemDevice, revision, driver } = shown;
  return [
    ["function", styled(terminal, "bold", shown.address)],
    ["what", description(shown)],
    [
      "ids",
      `${shown.vendor}:${shown.device}, subsystem ${subsystemVendor}:` +
      `${subsystemDevice}, class ${shown.class}, revision ${revision}`,
    ],
    ["driver", driver ?? "none"],
    ["override", shown.driverOverride ?? undefined],
    ["group", groupText(terminal, shown)],
    ["NUMA node", shown.numaNode?.toString()],
    ["BARs", orNone(shown.bars.map(barText), "\n")],
    [
      "resets",
      shown.unknown.includes("capabilities")
        ? "unknown"
        : orNone(shown.resetMethods) ?? "none listed by the kernel",
    ],
    ["hot reset", orNone(shown.hotReset ?? [])],
    ["part of", shown.physicalFunction ?? undefined],
    ["virtual", orNone(shown.virtualFunctions, " ")],
    ["nodes", orNone(shown.nodes)],
    ["host's use", orNone(shown.uses, "\n")],
    [
      "used by",
      shown.openers.length === 0 ? undefined : openersText(shown.openers),
    ],
  ];
}

function groupText(
  terminal: Pick<Terminal, "colour">,
  shown: ShowJson,
): string {
  const { iommuGroup, groupMembers, viable, obstacles, noGroup, address } =
    shown;
  const { remedy } = shown;
  if (noGroup !== null) {
    const { problem, hint } = noGroup;
    return `${styled(terminal, "red", "none")}: ${problem}\nhint: ${hint}`;
  }
  if (iommuGroup === null) return "unknown";
  const others = groupMembers.filter((name) => name !== address);
  const verdict = viable
    ? styled(terminal, "green", "viable")
    : styled(terminal, "yellow", "not viable");
  return [
    `${iommuGroup}, ${verdict}` +
    (others.length === 0 ? ", alone" : `, with ${others.join(", ")}`),
    ...obstacles.map(({ device, driver }) => `${device} is bound to ${driver}`),
    ...remedy === null ? [] : [remedy],
  ].join("\n");
}
