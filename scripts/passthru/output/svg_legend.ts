/**
 * The colours of drivers in a drawing, and its legend.
 *
 * @module
 */

import type { PciNode, PciTree } from "../../../lib/host/pci/topology/tree.ts";
import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import { rect, round, SANS_12, swatch, text } from "./svg_shapes.ts";
import { shortened } from "./table.ts";

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

/** Chooses a colour for each driver, the most frequent one first. */
export function coloursOf(nodes: readonly PciNode[]): Map<string, string> {
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

/** A kind of box, and what it stands for. */
interface BoxKind {
  /** Its class in the drawing. */
  readonly kind: string;
  /** What it stands for. */
  readonly label: string;
}

const SHARED: BoxKind = { kind: "shared", label: "shared group" };
const OUTSIDE: BoxKind = { kind: "outside", label: "no IOMMU group" };

const LINE = 22;
/** The space that an entry takes beside its label. */
const AROUND_LABEL = { left: 18, right: 20 };

/**
 * Draws the legend: the colour of each driver, and the boxes that are not
 * groups of one function.
 *
 * @param colours The colours of drivers.
 * @param tree The topology.
 * @param nodes All functions of it.
 * @param width The width of the drawing.
 */
export function legendOf(
  colours: ReadonlyMap<string, string>,
  { sharedGroups }: PciTree,
  nodes: readonly PciNode[],
  width: number,
): { svg: string; height: number } {
  const number = (wanted: string | undefined) =>
    nodes.filter(({ driver }) => driver === wanted).length;
  const entries = [
    ...[...colours].map(([driver, colour]) => ({
      label: `${driver} × ${number(driver)}`,
      patch: swatch(0, 1, 12, 12, colour),
    })),
    ...number(undefined) === 0 ? [] : [{
      label: `no driver × ${number(undefined)}`,
      patch: swatch(0, 1, 12, 12, undefined),
    }],
    ...[
      ...sharedGroups.length > 0 ? [SHARED] : [],
      ...nodes.some(({ group }) => group === undefined) ? [OUTSIDE] : [],
    ].map(({ kind, label }) => ({
      label,
      patch: rect({ x: 0.5, y: 1.5, width: 12, height: 11 }, kind, 2),
    })),
  ];
  const { left, right } = AROUND_LABEL;
  const most = Math.floor((width - left - right) / SANS_12);
  let x = 0;
  let y = 0;
  const parts = entries.map(({ label, patch }) => {
    const fitting = shortened(label, most);
    const needed = left + fitting.length * SANS_12 + right;
    if (x > 0 && x + needed > width) {
      x = 0;
      y += LINE;
    }
    const part = `<g transform="translate(${round(x)} ${y})">` +
      patch + text(left, 11, "ink", fitting) + "</g>";
    x += needed;
    return part;
  });
  return { svg: parts.join("\n"), height: y + LINE };
}
