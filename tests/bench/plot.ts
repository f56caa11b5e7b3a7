/**
 * Draws comparisons as bars: how often the work is done in a second.
 *
 * @module
 */
import { type Comparison, median } from "./compare.ts";

const WIDTH = 640;
const LEFT = 230;
const RIGHT = 90;
const TOP = 76;
const BAR = 13;
const GROUP = 2 * BAR + 14;

const STYLE = `
svg { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 11px; }
.page { fill: #f6f7f9; } .ink { fill: #1b2430; } .faint { fill: #5d6b7e; }
.heading { font-size: 16px; font-weight: 600; }
.c { fill: #8c99ab; } .ts { fill: #4269d0; }
@media (prefers-color-scheme: dark) {
.page { fill: #12161c; } .ink { fill: #e6ebf2; } .faint { fill: #9aa8ba; }
.c { fill: #66758a; } .ts { fill: #7c90f2; }
}
`;

/**
 * Draws comparisons.
 *
 * @param title The heading.
 * @param names What C's bars and TypeScript's are called.
 * @param comparisons The comparisons, with C.
 * @returns The text of an SVG file.
 */
export function plot(
  title: string,
  names: { readonly c: string; readonly ts: string },
  comparisons: readonly Comparison[],
): string {
  const rates = comparisons.map(({ what, c, ts }) => ({
    what,
    c: 1e9 / median(c),
    ts: 1e9 / median(ts),
  }));
  const most = Math.max(...rates.flatMap(({ c, ts }) => [c, ts]));
  const height = TOP + GROUP * rates.length + 10;
  const bar = (kind: "c" | "ts", rate: number, y: number) => {
    const length = (WIDTH - LEFT - RIGHT) * rate / most;
    const text = Math.round(rate).toLocaleString("en");
    return `<rect class="${kind}" x="${LEFT}" y="${y}" ` +
      `width="${length.toFixed(1)}" height="${BAR}"/>` +
      `<text class="ink" x="${(LEFT + length + 6).toFixed(1)}" ` +
      `y="${y + BAR - 3}">${text}</text>`;
  };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" ` +
    `aria-labelledby="title" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}">`,
    `<title id="title">${title}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="100%" height="100%"/>`,
    `<text class="ink heading" x="20" y="30">${title}</text>`,
    `<rect class="c" x="20" y="45" width="12" height="12"/>`,
    `<text class="ink" x="38" y="55">${names.c}</text>`,
    `<rect class="ts" x="${LEFT}" y="45" width="12" height="12"/>`,
    `<text class="ink" x="${LEFT + 18}" y="55">${names.ts}</text>`,
    ...rates.map(({ what, c, ts }, i) => {
      const y = TOP + GROUP * i;
      return `<text class="ink" x="${LEFT - 10}" y="${y + BAR + 4}" ` +
        `text-anchor="end">${what}</text>` +
        bar("c", c, y) + bar("ts", ts, y + BAR);
    }),
    "</svg>",
  ].map((line) => `${line}\n`).join("");
}
