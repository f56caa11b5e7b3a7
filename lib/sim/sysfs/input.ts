/**
 * Parses what is written to an attribute, as the kernel does (`lib/kstrtox.c`,
 * `lib/string_helpers.c`).
 *
 * @module
 */

import { refuse } from "../process/refusal.ts";

/** Returns a text up to the first NUL. */
export function cString(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** Returns a word, without a newline at the end: `sysfs_streq()`. */
export function word(text: string): string {
  return cString(text).replace(/\n$/, "");
}

/**
 * Parses a decimal, octal or hexadecimal number: `kstrtoul()`.
 *
 * @param text The written text.
 * @param max The largest value. EINVAL above it.
 */
export function unsigned(text: string, max = Number.MAX_SAFE_INTEGER): number {
  const digits = word(text).replace(/^\+/, "");
  const value = /^0x[0-9a-f]+$/i.test(digits)
    ? parseInt(digits, 16)
    : /^0[0-7]*$/.test(digits)
    ? parseInt(digits, 8)
    : /^[1-9][0-9]*$/.test(digits)
    ? parseInt(digits, 10)
    : refuse("EINVAL");
  return value <= max ? value : refuse("EINVAL");
}

/** Parses a truth value: `kstrtobool()`. */
export function boolean(text: string): boolean {
  const value = cString(text);
  if (/^(?:[y1]|on)/i.test(value)) return true;
  if (/^(?:[n0]|of)/i.test(value)) return false;
  return refuse("EINVAL");
}
