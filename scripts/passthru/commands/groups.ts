/**
 * `passthru groups`
 *
 * @module
 */

import { hexDigits } from "../../../lib/hex.ts";
import { breakLines } from "../../../lib/text.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { HostDevice, IommuGroup } from "../../../lib/host/device.ts";
import { groupRemedy } from "../../../lib/host/pci/group_remedy.ts";
import { explainNoGroup } from "../../../lib/host/iommu/no_iommu.ts";
import { PciFunction } from "../../../lib/host/pci/function.ts";
import {
  type PciNode,
  type PciTree,
  pciTree,
} from "../../../lib/host/pci/topology/tree.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { description, functionJson, Names } from "../output/function_json.ts";
import { driverStyle } from "./list.ts";
import { obstacleJson } from "./show.ts";
import { assertTold } from "../run/untold.ts";
import { renderSvg } from "../output/svg.ts";
import { shortened } from "../output/table.ts";
import { warnLines } from "../terminal/lines.ts";
import { styled, type Terminal, writeJson } from "../terminal/terminal.ts";
import { writeTree } from "../output/tree.ts";

function memberJson(device: HostDevice, names: Names) {
  return device instanceof PciFunction ? functionJson(device, names) : {
    address: device.name,
    vendor: null,
    device: null,
    class: null,
    vendorName: null,
    deviceName: null,
    className: null,
    driver: device.driver ?? null,
    iommuGroup: Number(device.iommuGroup?.id ?? NaN) || null,
  };
}

function groupJson(group: IommuGroup, names: Names) {
  const viability = group.viability();
  return {
    id: Number(group.id),
    name: group.name ?? null,
    type: group.type ?? null,
    viable: viability.viable,
    obstacles: viability.viable ? [] : viability.obstacles.map(obstacleJson),
    remedy: viability.viable ? null : groupRemedy(group, viability.obstacles),
    devices: group.devices.map((device) => memberJson(device, names)),
  };
}

/** Shows the IOMMU groups. */
export function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): number {
  assertTold(host, ["groups"]);
  if (args.has("tree") || args.has("svg")) return draw(args, host, terminal);
  const names = new Names();
  const groups = args.operands.length === 0
    ? host.groups()
    : args.operands.map((id) => fromUser(() => host.group(id)));
  const shown = groups.map((group) => groupJson(group, names));
  if (args.has("json")) writeJson(terminal, shown);
  else if (shown.length === 0) warnOfNoGroups(host, terminal);
  else {
    terminal.write(
      shown.map((group) => groupText(terminal, group)).join("\n"),
    );
  }
  return EXIT.DONE;
}

/** Writes the topology: as a tree, as an image, or as JSON. */
function draw(args: Arguments, host: Host, terminal: Terminal): number {
  if (args.operands.length > 0) {
    throw new UsageError("--tree and --svg show all groups");
  }
  const tree = pciTree(host);
  if (args.has("json")) writeJson(terminal, treeJson(tree));
  else if (args.has("svg")) terminal.write(renderSvg(tree));
  else writeTree(terminal, tree);
  return EXIT.DONE;
}

function nodeJson(node: PciNode): Record<string, unknown> {
  const { address, id, class: code, bridge } = node;
  return {
    address,
    vendor: id.slice(0, 4),
    device: id.slice(5),
    class: hexDigits(code, 6),
    name: node.name ?? null,
    className: node.className ?? null,
    driver: node.driver ?? null,
    iommuGroup: node.group === undefined ? null : Number(node.group),
    bridge,
    behind: node.behind.map(nodeJson),
    virtualFunctions: node.virtualFunctions.map(nodeJson),
  };
}

function treeJson({ buses, sharedGroups }: PciTree) {
  return {
    buses: buses.map(({ name, numaNode, functions }) => ({
      name,
      numaNode: numaNode ?? null,
      functions: functions.map(nodeJson),
    })),
    sharedGroups: sharedGroups.map(({ group, ...shared }) => ({
      id: Number(group),
      ...shared,
    })),
  };
}

function warnOfNoGroups(host: Host, terminal: Terminal): void {
  const [first] = host.functions();
  if (first === undefined) return terminal.warn("There are no PCI functions\n");
  terminal.warn("There are no IOMMU groups\n");
  warnLines(terminal, "hint: ", explainNoGroup(first).hint);
}

function groupText(
  terminal: Terminal,
  { id, type, viable, remedy, devices }: ReturnType<typeof groupJson>,
): string {
  const verdict = viable
    ? styled(terminal, "green", "viable")
    : styled(terminal, "yellow", "not viable");
  const head = `${styled(terminal, "bold", `group ${id}`)}  ${verdict}` +
    (type === null ? "" : `  ${type}`);
  const width = Math.max(...devices.map(({ driver }) => driver?.length ?? 1));
  const lines = devices.map((device) => {
    const { address, driver } = device;
    const left = `  ${address}  `;
    const name = device.vendor === null ? "" : description(device);
    const room = terminal.width - left.length - width - 2;
    return left +
      styled(terminal, driverStyle(driver), (driver ?? "-").padEnd(width)) +
      `  ${shortened(name, Math.max(room, 8))}`.trimEnd();
  });
  const remedies = remedy === null
    ? []
    : breakLines("  ", remedy, terminal.width);
  return [head, ...lines, ...remedies].map((line) => `${line}\n`).join("");
}
