/**
 * The PCI topology as an image, for `passthru groups --svg`.
 *
 * @module
 */

import {
  causeText,
  type PciNode,
  type PciTree,
} from "../../../lib/host/pci/topology/tree.ts";
import { counted } from "./format.ts";
import { coloursOf, legendOf } from "./svg_legend.ts";
import { MONO_12, rect, SANS_12, swatch, text, title } from "./svg_shapes.ts";
import { shortened } from "./table.ts";
import {
  layOut,
  type Panel,
  type PlacedCells,
  type PlacedGroup,
  type PlacedNode,
  SIZE,
  type Wire,
} from "./svg_layout.ts";
import { nodeText } from "./tree.ts";

/** How much of the room in its row a driver's name takes at most. */
const DRIVER_SHARE = 0.5;

const STYLE = `
svg { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 12px; }
.mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
.page { fill: #f6f7f9; } .ink { fill: #1b2430; } .faint { fill: #5d6b7e; }
.title { font-size: 17px; font-weight: 600; }
.bus { font-weight: 600; font-size: 13px; }
.panel { fill: #ffffff; stroke: #d5dbe3; }
.group { fill: #f1f4f8; stroke: #c3ccd8; }
.shared { fill: #fff3df; stroke: #d9932b; stroke-width: 1.5; }
.outside { fill: none; stroke: #c3ccd8; stroke-dasharray: 4 3; }
.cells { fill: none; stroke: #aeb9c7; stroke-dasharray: 2 3; }
.cell { fill: #f1f4f8; stroke: #c3ccd8; }
.wire { fill: none; stroke: #8c99ab; stroke-width: 1.25; }
.node:hover .ink, .cellnode:hover .ink { text-decoration: underline; }
@media (prefers-color-scheme: dark) {
.page { fill: #12161c; } .ink { fill: #e6ebf2; } .faint { fill: #9aa8ba; }
.panel { fill: #1a2029; stroke: #323c4a; }
.group, .cell { fill: #232b36; stroke: #3f4b5c; }
.shared { fill: #3a2d16; stroke: #d9932b; }
.outside { stroke: #3f4b5c; } .cells { stroke: #4d5a6d; }
.wire { stroke: #66758a; }
}`;

/** Returns where a function leads to, by its address. */
type LinkOf = (address: string) => string;

/**
 * Draws the topology: bridges as a tree, groups as boxes round their functions,
 * drivers by colour, virtual functions under their physical one. The image
 * needs no other file, and suits light and dark pages. Each of its parts has a
 * title.
 *
 * @param tree The topology.
 * @param linkOf Returns where a function leads to, by its address, on a page
 * that has more of it. Default: nowhere.
 * @returns The text of an SVG file.
 */
export function renderSvg(tree: PciTree, linkOf?: LinkOf): string {
  const nodes = tree.buses.flatMap(({ functions }) => all(functions));
  const colours = coloursOf(nodes);
  const causes = new Map(
    tree.sharedGroups.map(({ group, causes }) => [
      group,
      causes.map(causeText).join("; "),
    ]),
  );
  const groups = new Set(nodes.flatMap(({ group }) => group ?? []));
  // The legend is as wide as the layout, whose width is known only then.
  const { width } = layOut(tree, 0);
  const legend = legendOf(colours, tree, nodes, width - 2 * SIZE.margin);
  const layout = layOut(tree, SIZE.margin + 34 + legend.height + 12);
  const summary = `${counted(nodes.length, "function")} in ` +
    `${counted(groups.size, "IOMMU group")}`;
  const parts = [
    ...layout.panels.map(panel),
    ...layout.cells.map(cellsFrame),
    ...layout.groups.map((placed) => groupBox(placed, causes)),
    ...layout.wires.map(wire),
    ...layout.nodes.map((placed) =>
      linked(placed, functionRow(placed, colours), linkOf)
    ),
    ...layout.cells.flatMap(({ cells }) =>
      cells.map((placed) => linked(placed, cell(placed, colours), linkOf))
    ),
  ];
  return [
    // An image has no parts that can be reached.
    `<svg xmlns="http://www.w3.org/2000/svg" ` +
    `role="${linkOf === undefined ? "img" : "group"}" ` +
    `aria-labelledby="title desc" width="${layout.width}" ` +
    `height="${layout.height}" viewBox="0 0 ${layout.width} ${layout.height}">`,
    `<title id="title">IOMMU groups</title>`,
    `<desc id="desc">${summary}, behind their bridges</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="100%" height="100%"/>`,
    text(SIZE.margin, SIZE.margin + 14, "title ink", "IOMMU groups"),
    text(SIZE.margin + 160, SIZE.margin + 14, "faint", summary),
    `<g transform="translate(${SIZE.margin} ${SIZE.margin + 34})">`,
    legend.svg,
    "</g>",
    ...parts,
    "</svg>",
  ].map((part) => `${part}\n`).join("");
}

function linked(
  { node: { address } }: PlacedNode,
  drawn: string,
  linkOf: LinkOf | undefined,
): string {
  return linkOf === undefined
    ? drawn
    : `<a href="${linkOf(address)}">${drawn}</a>`;
}

function all(nodes: readonly PciNode[]): PciNode[] {
  return nodes.flatMap((node) => [
    node,
    ...all(node.behind),
    ...all(node.virtualFunctions),
  ]);
}

function panel({ bus, continued, x, y, width, height }: Panel): string {
  const node = bus.numaNode === undefined ? "" : `NUMA node ${bus.numaNode}`;
  return `<g>${title(`Root bus ${bus.name}${node && `, ${node}`}`)}` +
    rect({ x, y, width, height }, "panel", 10) +
    text(
      x + SIZE.padding,
      y + 20,
      "bus ink",
      `Bus ${bus.name}${continued ? ", continued" : ""}`,
    ) +
    text(x + width - SIZE.padding, y + 20, "faint", node, "end") + "</g>";
}

function groupBox(
  group: PlacedGroup,
  causes: ReadonlyMap<string, string>,
): string {
  const { x, y, width, height, members } = group;
  const kind = group.group === undefined
    ? "outside"
    : members > 1
    ? "shared"
    : "group";
  const name = group.group === undefined ? "no group" : `group ${group.group}`;
  const fits = name.length * SANS_12 <= SIZE.gutter - 16;
  const cause = causes.get(group.group ?? "") ?? "";
  const caption = kind === "outside" ? "No IOMMU group" : `IOMMU ${name}` +
    (kind === "shared" ? `, which ${members} functions share` : "") +
    (cause === "" ? "" : `: ${cause}`);
  return `<g>${title(caption)}` +
    rect({ x, y, width, height }, kind, 6) +
    text(
      x + width - 8,
      y + height / 2 + 4,
      "faint",
      fits ? name : group.group!,
      "end",
    ) +
    "</g>";
}

function wire({ x, top, bottom, right }: Wire): string {
  return `<path class="wire" d="M${x} ${top}V${bottom - 5}q0 5 5 5H${right}"/>`;
}

function functionRow(
  { node, x, y, width, height }: PlacedNode,
  colours: ReadonlyMap<string, string>,
): string {
  const { address, driver } = node;
  const base = y + height / 2 + 4;
  const addressWidth = address.length * MONO_12;
  const from = x + 14 + addressWidth + 10;
  // Characters that fit between the address and the end.
  const room = Math.floor((x + width - from) / SANS_12);
  const driverText = shortened(driver ?? "–", Math.floor(room * DRIVER_SHARE));
  const words = fittedText(node, room - driverText.length - 2);
  return `<g class="node">${title(fullText(node))}` +
    swatch(x + 4, y + 5, 5, height - 10, colourOf(driver, colours)) +
    text(x + 14, base, `mono ${node.bridge ? "faint" : "ink"}`, address) +
    text(from, base, node.bridge ? "faint" : "ink", words) +
    text(x + width, base, "faint", driverText, "end") + "</g>";
}

function cellsFrame({ physical, x, y, width, height }: PlacedCells): string {
  const number = physical.virtualFunctions.length;
  const label = counted(number, "virtual function");
  return `<g>${title(`${label} of ${physical.address}`)}` +
    rect({ x, y, width, height }, "cells", 6) +
    text(x + 8, y + 14, "faint", label) + "</g>";
}

function cell(
  { node, x, y, width, height }: PlacedNode,
  colours: ReadonlyMap<string, string>,
): string {
  // Without the domain, which all cells share.
  const short = node.address.slice(node.address.indexOf(":") + 1);
  const base = y + height / 2 + 4;
  return `<g class="cellnode">${title(fullText(node))}` +
    rect({ x, y, width, height }, "cell", 4) +
    swatch(x + 3, y + 4, 4, height - 8, colourOf(node.driver, colours)) +
    text(x + 11, base, "mono ink", short) +
    text(x + width - 5, base, "faint", node.group ?? "–", "end") + "</g>";
}

function colourOf(
  driver: string | undefined,
  colours: ReadonlyMap<string, string>,
): string | undefined {
  return driver === undefined ? undefined : colours.get(driver);
}

/** Describes a function in fewer words: `"Ethernet: Intel 82574L"`. */
function shortText(node: PciNode): string {
  return nodeText(node)
    .replace(/(?: compatible)? controller:/, ":")
    .replace(/,? (?:Corporation|Inc\.|Co\.|Ltd\.?|Technologies)(?=,? )/g, "");
}

/**
 * Describes a function in as many characters as there is room for. What tells a
 * function without a name from others, its id, stays.
 */
function fittedText(node: PciNode, room: number): string {
  const words = shortText(node);
  if (words.length <= room) return words;
  const [id = ""] = / (?:device [0-9a-f]{4}|[0-9a-f]{4}:[0-9a-f]{4})$/
    .exec(words) ?? [];
  const rest = words.slice(0, words.length - id.length);
  return shortened(rest, room - id.length) + id;
}

/** Describes a function in full, for tooltips and screen readers. */
function fullText(node: PciNode): string {
  const { address, id, driver, group } = node;
  return [
    `${address} ${nodeText(node)} [${id}]`,
    driver === undefined ? "no driver" : `driver ${driver}`,
    group === undefined ? "no IOMMU group" : `IOMMU group ${group}`,
  ].join("; ");
}
