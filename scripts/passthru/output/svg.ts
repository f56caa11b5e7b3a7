/**
 * The PCI topology as an image, for `passthru groups --svg`.
 *
 * @module
 */

import {
  causeText,
  type PciNode,
  type PciTree,
} from "../../../lib/host/pci/tree.ts";
import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import { counted } from "./format.ts";
import { shortened } from "./table.ts";
import {
  type Box,
  layOut,
  type Panel,
  type PlacedCells,
  type PlacedGroup,
  type PlacedNode,
  SIZE,
  type Wire,
} from "./svg_layout.ts";
import { nodeText } from "./tree.ts";

/** The approximate widths of characters, by font and size. */
const MONO_12 = 7.3;
const SANS_12 = 7;

const NO_DRIVER = "#98a2b3";
const BRIDGE_DRIVER = "#64748b";
/** The colours of VFIO drivers, all of them greens. */
const VFIO = ["#1f9d55", "#0f766e", "#65a30d"];
const OTHERS = [
  "#4269d0",
  "#e39a0b",
  "#e5484d",
  "#a463f2",
  "#0ea5b7",
  "#d6539c",
  "#9c6b4e",
  "#7c90f2",
  "#b45309",
  "#c026d3",
  "#475569",
  "#0369a1",
];
/** The distance between further hues when all colours are taken, in degrees. */
const GOLDEN_ANGLE = 137.5;

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

/**
 * Draws the topology: bridges as a tree, groups as boxes round their functions,
 * drivers by colour, virtual functions under their physical one. The image
 * needs no other file, and suits light and dark pages. Each of its parts has a
 * title.
 *
 * @param tree The topology.
 * @returns The text of an SVG file.
 */
export function renderSvg(tree: PciTree): string {
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
  const legend = legendOf(colours, nodes, width - 2 * SIZE.margin);
  const layout = layOut(tree, SIZE.margin + 34 + legend.height + 12);
  const summary = `${counted(nodes.length, "function")} in ` +
    `${counted(groups.size, "IOMMU group")}`;
  const parts = [
    ...layout.panels.map(panel),
    ...layout.cells.map(cellsFrame),
    ...layout.groups.map((placed) => groupBox(placed, causes)),
    ...layout.wires.map(wire),
    ...layout.nodes.map((placed) => functionRow(placed, colours)),
    ...layout.cells.flatMap(({ cells }) =>
      cells.map((placed) => cell(placed, colours))
    ),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" ` +
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

function all(nodes: readonly PciNode[]): PciNode[] {
  return nodes.flatMap((node) => [
    node,
    ...all(node.behind),
    ...all(node.virtualFunctions),
  ]);
}

/** Chooses a colour for each driver, the most frequent one first. */
function coloursOf(nodes: readonly PciNode[]): Map<string, string> {
  const frequent = [...Map.groupBy(nodes, ({ driver }) => driver)]
    .sort(([a = "", aNodes], [b = "", bNodes]) =>
      bNodes.length - aNodes.length || (a < b ? -1 : 1)
    );
  const vfio = [...VFIO];
  const others = [...OTHERS];
  const colours = new Map<string, string>();
  for (const [driver, [first]] of frequent) {
    if (driver === undefined) continue;
    const hue = Math.round(colours.size * GOLDEN_ANGLE) % 360;
    const colour = isVfioDriver(driver)
      ? vfio.shift()
      : first!.bridge
      ? BRIDGE_DRIVER
      : others.shift();
    colours.set(driver, colour ?? `hsl(${hue}, 55%, 50%)`);
  }
  return colours;
}

/** Draws the legend: the colour of each driver. */
function legendOf(
  colours: ReadonlyMap<string, string>,
  nodes: readonly PciNode[],
  width: number,
): { svg: string; height: number } {
  const without = nodes.some(({ driver }) => driver === undefined);
  const entries = [
    ...[...colours].map(([driver, colour]) => ({
      name: driver,
      number: nodes.filter((node) => node.driver === driver).length,
      colour,
    })),
    ...without
      ? [{
        name: "no driver",
        number: nodes.filter(({ driver }) => driver === undefined).length,
        colour: undefined,
      }]
      : [],
  ];
  const LINE = 22;
  let x = 0;
  let y = 0;
  const parts = entries.map(({ name, number, colour }) => {
    const label = `${name} × ${number}`;
    const needed = 18 + label.length * SANS_12 + 20;
    if (x > 0 && x + needed > width) {
      x = 0;
      y += LINE;
    }
    const part = `<g transform="translate(${round(x)} ${y})">` +
      swatch(0, 1, 12, 12, colour) + text(18, 11, "ink", label) + "</g>";
    x += needed;
    return part;
  });
  return { svg: parts.join("\n"), height: y + LINE };
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
  const cause = causes.get(group.group ?? "") ?? "";
  const caption = kind === "outside" ? "No IOMMU group" : `IOMMU ${name}` +
    (kind === "shared" ? `, which ${members} functions share` : "") +
    (cause === "" ? "" : `: ${cause}`);
  return `<g>${title(caption)}` +
    rect({ x, y, width, height }, kind, 6) +
    text(x + width - 8, y + height / 2 + 4, "faint", name, "end") + "</g>";
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
  const driverWidth = (driver?.length ?? 1) * SANS_12;
  const from = x + 14 + addressWidth + 10;
  const room = x + width - driverWidth - 14 - from;
  const words = shortened(shortText(node), Math.floor(room / SANS_12));
  return `<g class="node">${title(fullText(node))}` +
    swatch(x + 4, y + 5, 5, height - 10, colourOf(driver, colours)) +
    text(x + 14, base, `mono ${node.bridge ? "faint" : "ink"}`, address) +
    text(from, base, node.bridge ? "faint" : "ink", words) +
    text(x + width, base, "faint", driver ?? "–", "end") + "</g>";
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

/** Describes a function in full, for tooltips and screen readers. */
function fullText(node: PciNode): string {
  const { address, id, driver, group } = node;
  return [
    `${address} ${nodeText(node)} [${id}]`,
    driver === undefined ? "no driver" : `driver ${driver}`,
    group === undefined ? "no IOMMU group" : `IOMMU group ${group}`,
  ].join("; ");
}

/** Draws a patch of colour; hollow where there is no driver. */
function swatch(
  x: number,
  y: number,
  width: number,
  height: number,
  colour: string | undefined,
): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${width}" ` +
    `height="${height}" rx="2" ` +
    (colour === undefined
      ? `fill="none" stroke="${NO_DRIVER}"/>`
      : `fill="${colour}"/>`);
}

function rect({ x, y, width, height }: Box, kind: string, radius: number) {
  return `<rect class="${kind}" x="${round(x)}" y="${round(y)}" ` +
    `width="${round(width)}" height="${round(height)}" rx="${radius}"/>`;
}

function text(
  x: number,
  y: number,
  kind: string,
  words: string,
  anchor?: "end",
): string {
  if (words === "") return "";
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}"` +
    `${anchor === undefined ? "" : ` text-anchor="${anchor}"`}>` +
    `${escaped(words)}</text>`;
}

function title(words: string): string {
  return `<title>${escaped(words)}</title>`;
}

function round(length: number): number {
  return Math.round(length * 10) / 10;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Escapes a text for XML. Names come from a database that anybody can edit. */
function escaped(words: string): string {
  return words.replace(/[&<>"']/g, (character) => ENTITIES[character]!)
    // XML allows no control characters, not even escaped ones.
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "�");
}
