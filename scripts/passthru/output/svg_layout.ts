/**
 * The layout of the drawing of a PCI topology. Lengths are in pixels.
 *
 * @module
 */

import type {
  PciNode,
  PciTree,
  RootBus,
} from "../../../lib/host/pci/topology/tree.ts";

/** Sizes that both the layout and the drawing need. */
export const SIZE = {
  row: 26,
  /** Between rows of different groups. */
  gap: 6,
  indent: 22,
  /** The width of a function, without its indentation. */
  node: 430,
  /** The column of the groups' numbers, right of the functions. */
  gutter: 90,
  /** Around everything, and between columns. */
  margin: 24,
  /** Inside a panel. */
  padding: 14,
  panelHead: 30,
  cell: { width: 100, height: 22, gap: 5 },
  cellsHead: 20,
} as const;

/** A rectangle. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A function in its place. */
export interface PlacedNode extends Box {
  readonly node: PciNode;
}

/** Functions of a group that lie next to each other. */
export interface PlacedGroup extends Box {
  /** The group's number; `undefined` for functions without a group. */
  readonly group: string | undefined;
  /** How many functions the whole group has. */
  readonly members: number;
}

/** The virtual functions of a function. */
export interface PlacedCells extends Box {
  readonly physical: PciNode;
  readonly cells: readonly PlacedNode[];
}

/** A root bus, or the part of it that lies in a column. */
export interface Panel extends Box {
  readonly bus: RootBus;
  /** Whether the panel before it is of the same bus. */
  readonly continued: boolean;
}

/** A line from a bridge down, and to the right. */
export interface Wire {
  readonly x: number;
  readonly top: number;
  readonly bottom: number;
  readonly right: number;
}

/** The places of all parts. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly panels: readonly Panel[];
  readonly groups: readonly PlacedGroup[];
  readonly nodes: readonly PlacedNode[];
  readonly cells: readonly PlacedCells[];
  readonly wires: readonly Wire[];
}

/** Functions on a root bus, with what is behind them, that stay together. */
interface Unit {
  readonly bus: RootBus;
  readonly nodes: readonly PciNode[];
  readonly height: number;
}

/** The ratio of width to height to come close to. */
const ASPECT = 1.5;
const LEAST_HEIGHT = 480;
/** The column heights to try, as factors of the height for that ratio. */
const HEIGHTS = [0.8, 1, 1.2, 1.5, 1.9];

/**
 * Lays a topology out in columns.
 *
 * @param tree The topology.
 * @param top The space to leave free at the top.
 */
export function layOut(tree: PciTree, top: number): Layout {
  const { margin, padding, panelHead, indent, node, gutter } = SIZE;
  const depth = Math.max(0, ...tree.buses.map((bus) => depthOf(bus.functions)));
  const width = depth * indent + node + gutter + 2 * padding;
  const units = tree.buses.flatMap(unitsOf);
  const total = units.reduce((sum, { height }) => sum + height, 0) +
    tree.buses.length * (panelHead + margin);
  const ideal = Math.sqrt(total * width / ASPECT);
  const layouts = HEIGHTS.map((factor) =>
    inColumns(tree, units, width, top, Math.max(LEAST_HEIGHT, factor * ideal))
  );
  const distance = ({ width, height }: Layout) =>
    Math.abs(Math.log(width / height / ASPECT));
  const best = layouts.reduce((best, layout) =>
    distance(layout) < distance(best) ? layout : best
  );
  // Of the layouts with as many columns, the lowest has the most even ones.
  return layouts.filter(({ width }) => width === best.width)
    .reduce((flat, layout) => layout.height < flat.height ? layout : flat);
}

/**
 * Lays units out in columns that are no taller than `maxHeight`, where
 * possible.
 */
function inColumns(
  tree: PciTree,
  units: readonly Unit[],
  width: number,
  top: number,
  maxHeight: number,
): Layout {
  const { margin, padding, panelHead } = SIZE;
  const drawing = new Drawing(tree, width);
  let x = margin;
  let y = top;
  let bottom = top;
  let previous: RootBus | undefined;
  for (const columns of panelsOf(units, maxHeight)) {
    const height = columns.reduce((sum, unit) => sum + unit.height, 0) +
      panelHead + padding;
    if (y > top && y + height > top + maxHeight) {
      x += width + margin;
      y = top;
    }
    const { bus } = columns[0]!;
    drawing.panel({ bus, continued: bus === previous, x, y, width, height });
    let at = y + panelHead;
    for (const { nodes } of columns) {
      at = drawing.list(nodes, x + padding, at, x + width - padding);
    }
    previous = bus;
    y += height + margin;
    bottom = Math.max(bottom, y);
  }
  return drawing.finished(x + width + margin, bottom);
}

/** Groups the units of each bus into panels that fit in a column. */
function panelsOf(units: readonly Unit[], maxHeight: number): Unit[][] {
  const panels: Unit[][] = [];
  let height = 0;
  for (const unit of units) {
    const current = panels.at(-1);
    const fits = height + unit.height <= maxHeight;
    if (current !== undefined && current[0]!.bus === unit.bus && fits) {
      current.push(unit);
      height += unit.height;
    } else {
      panels.push([unit]);
      height = SIZE.panelHead + SIZE.padding + unit.height;
    }
  }
  return panels;
}

/**
 * Groups the functions of a bus into units. Neighbours in one IOMMU group stay
 * together.
 */
function unitsOf(bus: RootBus): Unit[] {
  const runs: PciNode[][] = [];
  for (const node of bus.functions) {
    const run = runs.at(-1);
    if (run !== undefined && joined(run.at(-1)!, node)) run.push(node);
    else runs.push([node]);
  }
  return runs.map((nodes) => ({
    bus,
    nodes,
    height: new Drawing({ buses: [], sharedGroups: [] }, 0)
      .list(nodes, 0, 0, contentWidth(bus)),
  }));
}

function contentWidth({ functions }: RootBus): number {
  return depthOf(functions) * SIZE.indent + SIZE.node + SIZE.gutter;
}

function joined(a: PciNode, b: PciNode): boolean {
  return a.group !== undefined && a.group === b.group;
}

function depthOf(nodes: readonly PciNode[]): number {
  return Math.max(
    0,
    ...nodes.map(({ behind, virtualFunctions }) =>
      behind.length + virtualFunctions.length === 0 ? 0 : 1 + depthOf(behind)
    ),
  );
}

/** Places the parts, and collects them. */
class Drawing {
  readonly #width: number;
  readonly #members: ReadonlyMap<string, number>;
  readonly #panels: Panel[] = [];
  readonly #groups: PlacedGroup[] = [];
  readonly #nodes: PlacedNode[] = [];
  readonly #cells: PlacedCells[] = [];
  readonly #wires: Wire[] = [];
  /** The functions placed last, as long as they are of one group. */
  #run: PlacedNode[] = [];

  constructor({ sharedGroups }: PciTree, width: number) {
    this.#width = width;
    this.#members = new Map(
      sharedGroups.map(({ group, functions }) => [group, functions.length]),
    );
  }

  panel(panel: Panel): void {
    this.#panels.push(panel);
  }

  /**
   * Places functions below each other, with all that is behind them.
   *
   * @returns The position below them.
   */
  list(nodes: readonly PciNode[], x: number, y: number, right: number): number {
    const end = this.#list(nodes, x, y, right);
    this.#endRun(right);
    return end + SIZE.gap;
  }

  finished(width: number, height: number): Layout {
    return {
      width: Math.max(width, this.#width),
      height,
      panels: this.#panels,
      groups: this.#groups,
      nodes: this.#nodes,
      cells: this.#cells,
      wires: this.#wires,
    };
  }

  #list(
    nodes: readonly PciNode[],
    x: number,
    y: number,
    right: number,
  ): number {
    for (const node of nodes) {
      const previous = this.#run.at(-1);
      if (previous !== undefined && !joined(previous.node, node)) {
        this.#endRun(right);
        y += SIZE.gap;
      }
      const placed: PlacedNode = {
        node,
        x,
        y,
        width: right - SIZE.gutter - x,
        height: SIZE.row,
      };
      this.#nodes.push(placed);
      this.#run.push(placed);
      y = this.#below(placed, right);
    }
    return y;
  }

  /** Places what is behind a function, and its virtual functions. */
  #below({ node, x, y }: PlacedNode, right: number): number {
    const { behind, virtualFunctions } = node;
    const inner = x + SIZE.indent;
    const first = this.#nodes.length;
    let bottom = this.#list(behind, inner, y + SIZE.row, right);
    const children = this.#nodes.slice(first)
      .filter((each) => behind.includes(each.node));
    const ends = children.map((each) => each.y + SIZE.row / 2);
    if (virtualFunctions.length > 0) {
      this.#endRun(right);
      const cells = this.#placeCells(node, inner, bottom + SIZE.gap, right);
      ends.push(cells.y + SIZE.cellsHead / 2);
      bottom = cells.y + cells.height + SIZE.gap;
    }
    for (const end of ends) {
      this.#wires.push({
        x: x + SIZE.indent / 2,
        top: y + SIZE.row,
        bottom: end,
        right: inner,
      });
    }
    return bottom;
  }

  #placeCells(
    physical: PciNode,
    x: number,
    y: number,
    right: number,
  ): PlacedCells {
    const { cell, cellsHead, gap } = SIZE;
    const room = right - x - gap;
    const columns = Math.max(1, Math.floor(room / (cell.width + cell.gap)));
    const width = room / columns - cell.gap;
    const cells = physical.virtualFunctions.map((node, i) => ({
      node,
      x: x + gap + (i % columns) * (width + cell.gap),
      y: y + cellsHead +
        Math.floor(i / columns) * (cell.height + cell.gap),
      width,
      height: cell.height,
    }));
    const rows = Math.ceil(cells.length / columns);
    const placed = {
      physical,
      cells,
      x,
      y,
      width: right - x,
      height: cellsHead + rows * (cell.height + cell.gap) + 2,
    };
    this.#cells.push(placed);
    return placed;
  }

  /** Draws the box round those placed last. */
  #endRun(right: number): void {
    const run = this.#run;
    this.#run = [];
    const [first] = run;
    if (first === undefined) return;
    const { group } = first.node;
    const x = Math.min(...run.map((each) => each.x));
    const bottom = run.at(-1)!.y + SIZE.row;
    this.#groups.push({
      group,
      members: group === undefined ? 0 : this.#members.get(group) ?? 1,
      x,
      y: first.y,
      width: right - x,
      height: bottom - first.y,
    });
  }
}
