/**
 * Looks up names of vendors, devices and classes in the database of `lspci`.
 *
 * @module
 */

import { hexDigits } from "../hex.ts";

/** A part of the text: the name in a line, and the lines indented below it. */
interface Block {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/**
 * A `pci.ids` database. Its text is searched rather than parsed: searching its
 * 1.4 MB costs less than a millisecond, and callers need only a few names.
 */
export class PciIds {
  readonly #text: string;
  readonly #vendors = new Map<number, Block | undefined>();
  #classes: number | undefined;

  /**
   * Makes a database of a text.
   *
   * @param text The text of a `pci.ids`.
   */
  constructor(text: string) {
    // Keys begin with a newline. The text begins with a comment, so that it
    // needs none, and adding one would copy it.
    this.#text = text.startsWith("#") ? text : `\n${text}`;
  }

  /** Returns the name of a vendor, if it has one. */
  vendor(vendor: number): string | undefined {
    return this.#vendor(vendor)?.name;
  }

  /** Returns the name of a device, if it has one. */
  device(vendor: number, device: number): string | undefined {
    return this.#below(this.#vendor(vendor), `\n\t${hexDigits(device, 4)}  `)
      ?.name;
  }

  /**
   * Returns the name of a class, or as much of it as is listed:
   * `"Non-Volatile memory controller (NVM Express)"`.
   *
   * @param code The 24 bits of the class register.
   */
  class(code: number): string | undefined {
    const base = this.#find(
      `\nC ${hexDigits(code >> 16, 2)}  `,
      0,
      this.#classesStart,
      this.#text.length,
    );
    const sub = this.#below(base, `\n\t${hexDigits(code >> 8 & 0xff, 2)}  `, 1);
    const detail = this.#below(sub, `\n\t\t${hexDigits(code & 0xff, 2)}  `)
      ?.name;
    const name = sub?.name ?? base?.name;
    return detail === undefined ? name : `${name} (${detail})`;
  }

  #vendor(vendor: number): Block | undefined {
    if (!this.#vendors.has(vendor)) {
      const key = `\n${hexDigits(vendor, 4)}  `;
      const block = this.#find(key, 0, 0, this.#text.length);
      this.#vendors.set(vendor, block);
    }
    return this.#vendors.get(vendor);
  }

  /**
   * The start of the classes, which come last. A search for one skips all
   * vendors.
   */
  get #classesStart(): number {
    return this.#classes ??= Math.max(this.#text.lastIndexOf("\nC 00  "), 0);
  }

  #below(
    block: Block | undefined,
    key: string,
    depth?: number,
  ): Block | undefined {
    if (block === undefined) return undefined;
    return this.#find(key, depth, block.start, block.end);
  }

  /** Finds the line that begins with the key, in a part of the text. */
  #find(
    key: string,
    depth: number | undefined,
    from: number,
    limit: number,
  ): Block | undefined {
    const at = this.#text.indexOf(key, from);
    if (at < 0 || at >= limit) return undefined;
    const start = at + key.length;
    const lineEnd = this.#text.indexOf("\n", start);
    const name = this.#text.slice(start, lineEnd < 0 ? undefined : lineEnd)
      .trim();
    const end = depth === undefined
      ? start
      : this.#blockEnd(start, depth, limit);
    return { name, start, end };
  }

  /**
   * Returns the start of the first line that is indented by `depth` tabs or
   * fewer and is neither empty nor a comment. It uses no regular expression: V8
   * interprets those at first, which is slow for the 5,000 lines of Intel.
   */
  #blockEnd(start: number, depth: number, limit: number): number {
    let at = start;
    for (;;) {
      at = this.#text.indexOf("\n", at);
      if (at < 0 || at >= limit) return limit;
      let first = at + 1;
      while (this.#text.charCodeAt(first) === TAB) first++;
      const isOuter = first - at - 1 <= depth;
      const code = this.#text.charCodeAt(first);
      if (isOuter && code !== HASH && code !== NEWLINE) return at;
      at++;
    }
  }
}

const TAB = 9;
const NEWLINE = 10;
const HASH = 35;
