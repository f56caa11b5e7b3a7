/**
 * Draws comparisons as bars: how often the work is done in a second.
 *
 * @module
 */
import { type Comparison, median } from "./compare.ts";

const WIDTH = 640;
const LEFT = 170;
const RIGHT = 90;
const TOP = 76;
const BAR = 13;

const STYLE = `
svg { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 11px; }
.page { fill: #f6f7f9; } .ink { fill: #1b2430; } .faint { fill: #5d6b7e; }
.heading { font-size: 16px; font-weight: 600; }
.c0 { fill: #c3cbd6; } .c1 { fill: #a5b0bf; } .c2 { fill: #8390a3; }
.c3 { fill: #d08a42; } .ts { fill: #4269d0; }
@media (prefers-color-scheme: dark) {
.page { fill: #12161c; } .ink { fill: #e6ebf2; } .faint { fill: #9aa8ba; }
.c0 { fill: #4b5868; } .c1 { fill: #66758a; } .c2 { fill: #8796ab; }
.c3 { fill: #d9a066; } .ts { fill: #7c90f2; }
}
`;

/** A bar: what it is filled as, and how often the work is done. */
interface Bar {
  readonly kind: string;
  readonly rate: number;
}

/**
 * Draws comparisons.
 *
 * @param title The heading.
 * @param ours What TypeScript's bars are called. The others are called after
 * their peers, of whom there are up to four.
 * @param comparisons The comparisons. Those of one work have the same rounds of
 * TypeScript.
 * @returns The text of an SVG file.
 */
export function plot(
  title: string,
  ours: string,
  comparisons: readonly Comparison[],
): string {
  const peers = [...new Set(comparisons.map(({ peer }) => peer!))].sort();
  const groups = [...Map.groupBy(comparisons, ({ what }) => what)].map(
    ([what, all]) => ({
      what,
      bars: [
        ...peers.map((name, i) => {
          const { c } = all.find(({ peer }) => peer === name)!;
          return { kind: `c${i}`, rate: 1e9 / median(c) };
        }),
        { kind: "ts", rate: 1e9 / median(all[0]!.ts) },
      ],
    }),
  );
  const most = Math.max(
    ...groups.flatMap(({ bars }) => bars.map(({ rate }) => rate)),
  );
  const group = BAR * (peers.length + 1) + 14;
  const height = TOP + group * groups.length + 10;
  const bar = ({ kind, rate }: Bar, y: number) => {
    const length = (WIDTH - LEFT - RIGHT) * rate / most;
    const text = Math.round(rate).toLocaleString("en");
    return `<rect class="${kind}" x="${LEFT}" y="${y}" ` +
      `width="${length.toFixed(1)}" height="${BAR - 1}"/>` +
      `<text class="ink" x="${(LEFT + length + 6).toFixed(1)}" ` +
      `y="${y + BAR - 3}">${text}</text>`;
  };
  const names = [
    ...peers.map((name, i) => ({ kind: `c${i}`, name })),
    { kind: "ts", name: ours },
  ];
  const step = (WIDTH - 40) / names.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" ` +
    `aria-labelledby="title" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}">`,
    `<title id="title">${title}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="100%" height="100%"/>`,
    `<text class="ink heading" x="20" y="30">${title}</text>`,
    ...names.map(({ kind, name }, i) => {
      const x = Math.round(20 + i * step);
      return `<rect class="${kind}" x="${x}" y="45" width="12" height="12"/>` +
        `<text class="ink" x="${x + 18}" y="55">${name}</text>`;
    }),
    ...groups.map(({ what, bars }, i) => {
      const y = TOP + group * i;
      const middle = y + BAR * bars.length / 2 + 4;
      return `<text class="ink" x="${LEFT - 10}" y="${middle}" ` +
        `text-anchor="end">${what}</text>` +
        bars.map((each, j) => bar(each, y + BAR * j)).join("");
    }),
    "</svg>",
  ].map((line) => `${line}\n`).join("");
}
