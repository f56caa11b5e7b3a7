/**
 * `deno task layers`: draws the layers from the modules' imports, as
 * `docs/layers.svg`.
 *
 * @module
 */
import { ROOT } from "./deno.ts";
import { type Module, readModules } from "./imports.ts";

/** Where the picture is. */
export const PICTURE = "docs/layers.svg";

/** A folder in the picture. */
interface Folder {
  /** What it is, in a few words. */
  readonly about: string;
  /** Its row, from the top. It may import what is below, and beside it. */
  readonly row: number;
  /** Its first column. */
  readonly column: number;
  /** How many columns it takes. */
  readonly columns: number;
}

function folder(
  row: number,
  column: number,
  columns: number,
  about: string,
): Folder {
  return { row, column, columns, about };
}

/** The folders, with their places. Few arrows pass behind a box. */
const FOLDERS: Readonly<Record<string, Folder>> = {
  "scripts": folder(0, 0, 6, "the commands that people run"),
  "mod.ts": folder(1, 0, 1, "what a script imports"),
  "lib/rings": folder(1, 1, 1, "for drivers"),
  "lib/handoff": folder(1, 2, 1, "for consumers"),
  "lib/provision": folder(1, 3, 1, "plan, apply, restore"),
  "lib/sim": folder(1, 4, 1, "a simulated host"),
  "lib/doctor": folder(1, 5, 1, "what stops it"),
  "lib/device": folder(2, 0, 1, "an attached device"),
  "lib/dma": folder(2, 1, 1, "address spaces"),
  "lib/diagnostics": folder(2, 5, 1, "told to who traces"),
  "backends": folder(3, 0, 3, "the legacy container and iommufd"),
  "lib/host": folder(4, 0, 6, "what sysfs says, and what moves a device"),
  "lib/*.ts": folder(5, 0, 3, "errors, and what everything above uses"),
  "lib/pci": folder(5, 3, 3, "what PCI is, without a host"),
  "lib/kernel": folder(6, 0, 3, "the operating system, behind one interface"),
  "lib/uapi": folder(6, 3, 3, "the kernel's ABI: numbers and structs"),
};

const NAMES = Object.keys(FOLDERS);

/** One folder imports another. */
export interface Arrow {
  readonly from: string;
  readonly to: string;
}

/** The folder of the picture that a module is in. */
function folderOf(path: string): string | undefined {
  if (/^lib\/[^/]+\.ts$/.test(path)) return "lib/*.ts";
  return NAMES.find((name) => path === name || path.startsWith(`${name}/`)) ??
    // A module beside a folder that has its name belongs to it.
    NAMES.find((name) => path.startsWith(`${name}.`));
}

/**
 * Finds which folder imports which.
 *
 * @param modules The modules of the checkout.
 * @throws {Error} When a folder of the library is not in the picture, or an
 * import leads upwards in it.
 */
export function arrowsOf(modules: readonly Module[]): Arrow[] {
  const found = new Map<string, Arrow>();
  for (const { path, imports } of modules) {
    const from = folderOf(path);
    if (from === undefined && /^(lib|backends)\//.test(path)) {
      throw new Error(`${path} is in no folder of scripts/dev/layers.ts`);
    }
    for (const to of imports.map(folderOf)) {
      if (from === undefined || to === undefined || from === to) continue;
      if (FOLDERS[from]!.row > FOLDERS[to]!.row) {
        throw new Error(`${path} imports ${to}, which is above it`);
      }
      found.set(`${from} ${to}`, { from, to });
    }
  }
  const place = (name: string) => NAMES.indexOf(name);
  return [...found.values()].sort((a, b) =>
    place(a.from) - place(b.from) || place(a.to) - place(b.to)
  );
}

/** Leaves out the arrows to whose end other arrows lead as well. */
function needed(arrows: readonly Arrow[]): Arrow[] {
  const nextOf = (name: string) =>
    arrows.filter(({ from }) => from === name).map(({ to }) => to);
  const reaches = (name: string, end: string): boolean =>
    name === end || nextOf(name).some((next) => reaches(next, end));
  return arrows.filter(({ from, to }) =>
    !nextOf(from).some((next) => next !== to && reaches(next, to))
  );
}

const COLUMN = 140;
const GAP = 20;
const BOX = 50;
const ROW = 98;
const MARGIN = 24;
const TOP = 64;
const TIP = 7;
const WIDTH = 2 * MARGIN + 6 * COLUMN + 5 * GAP;

/** The place of a box. */
interface Place {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function placeOf(name: string): Place {
  const { row, column, columns } = FOLDERS[name]!;
  const left = MARGIN + column * (COLUMN + GAP);
  const top = TOP + row * ROW;
  const right = left + columns * COLUMN + (columns - 1) * GAP;
  return { left, right, top, bottom: top + BOX };
}

/**
 * Draws the layers. Leaves out an arrow where others lead to its end as well.
 *
 * @param modules The modules of the checkout.
 * @returns The text of an SVG file.
 * @throws {Error} What `arrowsOf` throws.
 */
export function drawLayers(modules: readonly Module[]): string {
  const arrows = needed(arrowsOf(modules));
  const rows = Math.max(...Object.values(FOLDERS).map(({ row }) => row));
  const height = TOP + rows * ROW + BOX + MARGIN;
  const summary = arrows.map(({ from, to }) => `${from} imports ${to}`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" ` +
    `aria-labelledby="title desc" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}">`,
    `<title id="title">The layers</title>`,
    `<desc id="desc">${summary.join("; ")}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="100%" height="100%"/>`,
    `<text class="ink heading" x="${MARGIN}" y="34">What imports what</text>`,
    `<text class="faint" x="${WIDTH - MARGIN}" y="34" text-anchor="end">` +
    "an arrow is left out where others lead there as well</text>",
    ...arrows.map((arrow) => drawArrow(arrow, arrows)),
    ...NAMES.map(box),
    "</svg>",
  ].map((part) => `${part}\n`).join("");
}

const STYLE = `
svg { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 11px; }
.page { fill: #f6f7f9; } .ink { fill: #1b2430; } .faint { fill: #5d6b7e; }
.heading { font-size: 16px; font-weight: 600; }
.name { font-size: 13px; font-weight: 600; }
.box { fill: #ffffff; stroke: #8c99ab; }
.line { fill: none; stroke: #4269d0; stroke-width: 1.5; }
.tip { fill: #4269d0; }
@media (prefers-color-scheme: dark) {
.page { fill: #12161c; } .ink { fill: #e6ebf2; } .faint { fill: #9aa8ba; }
.box { fill: #1a2029; stroke: #66758a; }
.line { stroke: #7c90f2; } .tip { fill: #7c90f2; }
}
`;

function box(name: string): string {
  const { left, right, top } = placeOf(name);
  const middle = (left + right) / 2;
  return `<g><rect class="box" x="${left}" y="${top}" ` +
    `width="${right - left}" height="${BOX}" rx="7"/>` +
    `<text class="ink name" x="${middle}" y="${top + 22}" ` +
    `text-anchor="middle">${name}</text>` +
    `<text class="faint" x="${middle}" y="${top + 38}" ` +
    `text-anchor="middle">${FOLDERS[name]!.about}</text></g>`;
}

/**
 * Draws an arrow from the bottom of a box to the top of another, or from side
 * to side.
 */
function drawArrow(arrow: Arrow, arrows: readonly Arrow[]): string {
  const { from, to } = arrow;
  const [a, b] = [placeOf(from), placeOf(to)];
  const title = `<title>${from} imports ${to}</title>`;
  if (a.top === b.top) {
    const y = a.top + BOX / 2;
    const [start, end, back] = a.left < b.left
      ? [a.right, b.left, -TIP]
      : [a.left, b.right, TIP];
    return `<g>${title}<path class="line" d="M${start} ${y}H${end + back}"/>` +
      `<path class="tip" d="M${end} ${y}l${back} -4v8z"/></g>`;
  }
  let x1 = meeting(arrow, "from", arrows);
  let x2 = meeting(arrow, "to", arrows);
  // Straight, where one is above the other.
  if (b.left < x1 && x1 < b.right) x2 = x1;
  else if (a.left < x2 && x2 < a.right) x1 = x2;
  const end = b.top - TIP;
  const bend = Math.min(30, (end - a.bottom) * 0.6);
  const curve = x1 === x2
    ? `V${end}`
    : `C${x1} ${a.bottom + bend} ${x2} ${end - bend} ${x2} ${end}`;
  return `<g>${title}<path class="line" d="M${x1} ${a.bottom}${curve}"/>` +
    `<path class="tip" d="M${x2} ${b.top}l-4 -${TIP}h8z"/></g>`;
}

/**
 * The place where an arrow meets a box. All arrows of a side are evenly spaced.
 */
function meeting(
  arrow: Arrow,
  end: "from" | "to",
  arrows: readonly Arrow[],
): number {
  const far = end === "from" ? "to" : "from";
  const { left, right, top } = placeOf(arrow[end]);
  const middle = (name: string) => placeOf(name).left + placeOf(name).right;
  const others = arrows
    .filter((other) =>
      other[end] === arrow[end] && placeOf(other[far]).top !== top
    )
    .sort((a, b) => middle(a[far]) - middle(b[far]));
  const share = (others.indexOf(arrow) + 1) / (others.length + 1);
  return Math.round(left + (right - left) * share);
}

if (import.meta.main) {
  const picture = drawLayers(await readModules(ROOT));
  await Deno.writeTextFile(new URL(PICTURE, ROOT), picture);
}
