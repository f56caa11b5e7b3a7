/**
 * The shapes and texts of a drawing.
 *
 * @module
 */

import { escapeXml } from "../../../lib/printable.ts";
import type { Box } from "./svg_layout.ts";

/** The approximate widths of characters, by font and size. */
export const MONO_12 = 7.3;
/** The same of the proportional font. */
export const SANS_12 = 7;

const NO_DRIVER = "#98a2b3";

/** Draws a patch of colour; hollow where there is no driver. */
export function swatch(
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

/** Draws a box of a kind. */
export function rect(
  { x, y, width, height }: Box,
  kind: string,
  radius: number,
) {
  return `<rect class="${kind}" x="${round(x)}" y="${round(y)}" ` +
    `width="${round(width)}" height="${round(height)}" rx="${radius}"/>`;
}

/**
 * Writes words at a place, or so that they end there. It writes nothing where
 * there are none.
 */
export function text(
  x: number,
  y: number,
  kind: string,
  words: string,
  anchor?: "end",
): string {
  if (words === "") return "";
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}"` +
    `${anchor === undefined ? "" : ` text-anchor="${anchor}"`}>` +
    `${escapeXml(words)}</text>`;
}

/** Gives the element around it a title, which tooltips show. */
export function title(words: string): string {
  return `<title>${escapeXml(words)}</title>`;
}

/** Rounds a length to a tenth of a pixel. */
export function round(length: number): number {
  return Math.round(length * 10) / 10;
}
