/**
 * The PCI topology as text, for `passthru groups --tree`.
 *
 * @module
 */

import { hexDigits } from "../../../lib/hex.ts";
import {
  causeText,
  type PciNode,
  type PciTree,
} from "../../../lib/host/pci/topology/tree.ts";
import { breakLines } from "../../../lib/text.ts";
import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import { type Column, writeTable } from "./table.ts";
import { type Style, styled, type Terminal } from "../terminal/terminal.ts";

/** A line of the tree. */
interface Row {
  /** The branches, and the function's address or the bus's name. */
  readonly tree: string;
  /** The function; a root bus has none. */
  readonly node?: PciNode;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "FUNCTION", text: ({ tree }) => tree },
  {
    title: "GROUP",
    text: ({ node }) => node === undefined ? "" : node.group ?? "-",
  },
  {
    title: "DRIVER",
    text: ({ node }) => node === undefined ? "" : node.driver ?? "-",
    style: ({ node }) => driverStyle(node),
  },
  {
    title: "DEVICE",
    text: ({ node }) => node === undefined ? "" : nodeText(node),
    shortens: true,
  },
];

/**
 * Describes a function in words: `"Ethernet controller: Intel 82574L"`.
 *
 * @param node The function.
 */
export function nodeText(
  { className, name, id, class: code }: PciNode,
): string {
  const kind = className?.replace(/ \(.*\)$/, "") ??
    `class ${hexDigits(code, 6).slice(0, 4)}`;
  return `${kind}: ${name ?? id}`;
}

/**
 * Writes the topology: bridges with what is behind them, and virtual functions
 * under their physical one, each with its group and its driver. Below it writes
 * why groups are shared.
 *
 * @param terminal Where it is written.
 * @param tree The topology.
 */
export function writeTree(terminal: Terminal, tree: PciTree): void {
  const rows = tree.buses.flatMap(({ name, numaNode, functions }) => [
    { tree: name + (numaNode === undefined ? "" : ` on node ${numaNode}`) },
    ...branches(functions, ""),
  ]);
  writeTable(terminal, rows, COLUMNS);
  const shared = tree.sharedGroups.filter(({ causes }) => causes.length > 0);
  if (shared.length === 0) return;
  const lines = shared.flatMap(({ group, causes }) =>
    breakLines(
      `${styled(terminal, "bold", `group ${group}`)} is shared: `,
      causes.map(causeText).join("; "),
      terminal.width,
    )
  );
  terminal.write(`\n${lines.join("\n")}\n`);
}

function branches(nodes: readonly PciNode[], prefix: string): Row[] {
  return nodes.flatMap((node, i) => {
    const last = i === nodes.length - 1;
    const { address, behind, virtualFunctions } = node;
    return [
      { tree: `${prefix}${last ? "└─" : "├─"} ${address}`, node },
      ...branches(
        [...behind, ...virtualFunctions],
        `${prefix}${last ? "   " : "│  "}`,
      ),
    ];
  });
}

function driverStyle(node: PciNode | undefined): Style | undefined {
  if (node === undefined) return undefined;
  if (node.driver === undefined || node.bridge) return "dim";
  return isVfioDriver(node.driver) ? "green" : undefined;
}
