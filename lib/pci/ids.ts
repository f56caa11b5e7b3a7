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
      const { length } = this.#text;
      // They are sorted, unless somebody has added to them.
      const block = this.#find(key, 0, this.#startBelow(vendor), length) ??
        this.#find(key, 0, 0, length);
      this.#vendors.set(vendor, block);
    }
    return this.#vendors.get(vendor);
  }

  /** The start of the last known vendor with a lower id. */
  #startBelow(vendor: number): number {
    let start = 0;
    for (const [other, block] of this.#vendors) {
      if (other < vendor && block !== undefined && block.start > start) {
        start = block.start;
      }
    }
    return start;
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
    depth?: 0 | 1,
  ): Block | undefined {
    if (block === undefined) return undefined;
    return this.#find(key, depth, block.start, block.end);
  }

  /** Finds the line that begins with the key, in a part of the text. */
  #find(
    key: string,
    depth: 0 | 1 | undefined,
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
   * fewer and is neither empty nor a comment.
   */
  #blockEnd(start: number, depth: 0 | 1, limit: number): number {
    const outer = depth === 0 ? OUTER : INNER;
    outer.lastIndex = start;
    return Math.min(outer.exec(this.#text)?.index ?? limit, limit);
  }
}

/** The start of a line that is not indented: of a vendor, or of a class. */
const OUTER = /\n[^\t\n#]/g;

/** The start of a line that is indented by one tab, or not at all. */
const INNER = /\n\t?[^\t\n#]/g;
