/**
 * Struct layouts as the C compiler makes them: natural alignment, tail padding
 * to the largest member's alignment, little-endian values. Both architectures
 * that this project runs on, x86-64 and arm64, agree on all of that.
 *
 * @module
 */

import type { Field, Flexible, Overlay } from "./fields.ts";

export * from "./fields.ts";

/** The members of a struct, in the order of their declaration in C. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The names of the members that hold values: all but a flexible tail. */
export type ValueKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends { readonly flexible: true } ? never : K;
}[keyof F];

/** What {@linkcode Struct.decode} returns. */
export type Decoded<F extends Fields> = {
  [K in ValueKeys<F>]: F[K] extends Struct<infer G> ? Decoded<G>
    : F[K] extends Field<infer Out, infer _> ? Out
    : never;
};

/** What {@linkcode Struct.encode} takes; a member left out is 0. */
export type Encodable<F extends Fields> = {
  readonly [K in ValueKeys<F>]?: F[K] extends Struct<infer G> ? Encodable<G>
    : F[K] extends Field<infer _, infer In> ? In
    : never;
};

/** Any struct, where its members do not matter. */
// deno-lint-ignore no-explicit-any
export type AnyStruct = Struct<any>;

const alignUp = (value: number, align: number) =>
  Math.ceil(value / align) * align;

/**
 * The layout of one of the kernel's structs, and conversion between its bytes
 * and an object with its members: `number` up to 32 bits, `bigint` for 64 bits,
 * a `Uint8Array` for bytes, arrays and nested objects for the rest.
 *
 * @example
 * ```ts
 * import { struct, u32, u64 } from "@passthru/vfio/uapi";
 *
 * const range = struct("range", { argsz: u32, iova: u64 });
 * const buffer = range.alloc({ iova: 0x1000n });
 * range.size; // 16
 * range.offset.iova; // 8
 * range.decode(buffer); // { argsz: 16, iova: 4096n }
 * ```
 */
export class Struct<F extends Fields>
  implements Field<Decoded<F>, Encodable<F>> {
  /** The struct's name, as in the kernel's header. */
  readonly type: string;
  /** `sizeof`: with tail padding, without a flexible tail's elements. */
  readonly size: number;
  /** Alignment in bytes. */
  readonly align: number;
  /** `offsetof` of each member. */
  readonly offset: { readonly [K in keyof F]: number };
  /** The members' layouts. */
  readonly fields: F;
  /**
   * Whether the leading member tells the kernel how long the struct is that it
   * was handed: `argsz` in VFIO, `size` in iommufd.
   */
  readonly #sized: boolean;
  /** The members that are values of their own, without a flexible tail. */
  readonly #members: readonly Member[];

  /** Use {@linkcode struct}. */
  constructor(type: string, fields: F) {
    const offset: Record<string, number> = {};
    const members: Member[] = [];
    let end = 0;
    let align = 1;
    for (const name of Object.keys(fields)) {
      const field: Field<unknown> = fields[name]!;
      let at: number;
      if (isOverlay(field)) {
        at = offset[field.over]!;
      } else {
        at = alignUp(end, field.align);
        end = at + field.size;
        if (field.align > align) align = field.align;
      }
      offset[name] = at;
      if (!("flexible" in field)) members.push({ name, field, at });
    }
    const first = members[0]?.name;
    this.type = type;
    this.fields = fields;
    this.offset = offset as { [K in keyof F]: number };
    this.align = align;
    this.size = alignUp(end, align);
    this.#sized = first === "argsz" || first === "size";
    this.#members = members;
  }

  /**
   * Reads the struct from `bytes`.
   *
   * @param bytes Holds the struct.
   * @param at Byte offset of the struct in it.
   * @returns Every member's value.
   * @throws {RangeError} If `bytes` ends before the struct does.
   */
  decode(bytes: Uint8Array, at = 0): Decoded<F> {
    return this.get(this.#view(bytes, at, this.size), at);
  }

  /**
   * Reads `count` of the struct that follow each other in `bytes`.
   *
   * @param bytes Holds the structs.
   * @param count How many.
   * @param at Byte offset of the first.
   * @returns Their members' values.
   * @throws {RangeError} If `bytes` ends before the last of them does.
   */
  decodeArray(bytes: Uint8Array, count: number, at = 0): Decoded<F>[] {
    const view = this.#view(bytes, at, this.size * count);
    const decoded: Decoded<F>[] = [];
    for (let i = 0; i < count; i++) {
      decoded.push(this.get(view, at + i * this.size));
    }
    return decoded;
  }

  /**
   * Reads the elements of a flexible tail, as many as the member `count` says.
   * Those that `bytes` ends before are left out, and so is a tail of bytes.
   *
   * @param bytes Holds the struct and its tail, from the beginning.
   * @returns The tail by its name, or nothing.
   */
  decodeTail(bytes: Uint8Array): Readonly<Record<string, unknown[]>> {
    const { count } = this.decode(bytes) as Record<string, unknown>;
    const tail = Object.entries(this.fields)
      .find(([, field]) => "flexible" in field);
    if (tail === undefined || typeof count !== "number") return {};
    const [name, { element }] = tail as [string, Flexible<Field<unknown>>];
    if (element.size === 1) return {};
    const start = this.offset[name]!;
    const room = Math.floor((bytes.length - start) / element.size);
    const view = this.#view(bytes, 0, this.size);
    return {
      [name]: Array.from(
        { length: Math.min(count, room) },
        (_, i) => element.get(view, start + i * element.size),
      ),
    };
  }

  /**
   * Writes the struct into `bytes`: the given members, `argsz` or `size` if
   * that is the leading member and is not given, and 0 everywhere else.
   *
   * @param bytes Takes the struct.
   * @param values The members that are not 0.
   * @param at Byte offset of the struct in it.
   * @throws {TypeError} If a value has the wrong type, or no member its name.
   * @throws {RangeError} If a value does not fit its member, or the struct
   * does not fit in `bytes`.
   */
  encode(bytes: Uint8Array, values: Encodable<F> = {}, at = 0): void {
    this.set(this.#view(bytes, at, this.size), at, values, this.type);
  }

  /**
   * Makes a buffer that holds the struct, see {@linkcode Struct.encode}.
   *
   * @param values The members that are not 0.
   * @param extraBytes Room after the struct, for a flexible tail or a chain of
   * capabilities. It counts in the default for `argsz` or `size`.
   * @returns The buffer.
   */
  alloc(
    values?: Encodable<F>,
    extraBytes = 0,
  ): Uint8Array<ArrayBuffer> {
    const length = this.size + extraBytes;
    const bytes = new Uint8Array(length);
    // Without a view of its buffer: V8 allocates a short array in its heap, and
    // its buffer elsewhere once somebody asks for that.
    if (this.#sized) {
      bytes[0] = length;
      bytes[1] = length >> 8;
      bytes[2] = length >> 16;
      bytes[3] = length >> 24;
    }
    if (values !== undefined) {
      this.#assign(new DataView(bytes.buffer), 0, values, this.type);
    }
    return bytes;
  }

  /** As a nested member: reads it. */
  get(view: DataView, at: number): Decoded<F> {
    const values: Record<string, unknown> = {};
    for (const member of this.#members) {
      values[member.name] = member.field.get(view, at + member.at);
    }
    return values as Decoded<F>;
  }

  /** As a nested member: writes it. */
  set(view: DataView, at: number, values: Encodable<F>, path: string): void {
    new Uint8Array(view.buffer, view.byteOffset + at, this.size).fill(0);
    if (this.#sized) view.setUint32(at, this.size, true);
    this.#assign(view, at, values, path);
  }

  #assign(
    view: DataView,
    at: number,
    values: Encodable<F>,
    path: string,
  ): void {
    if (typeof values !== "object" || values === null) {
      throw new TypeError(`${path}: expected an object, got ${typeof values}`);
    }
    for (const name in values) {
      if (!Object.hasOwn(this.fields, name)) {
        throw new TypeError(`${path}.${name}: no such member`);
      }
      const value = (values as Record<string, unknown>)[name];
      if (value === undefined) continue;
      const field = this.fields[name] as Field<unknown>;
      field.set(view, at + this.offset[name]!, value, `${path}.${name}`);
    }
  }

  #view(bytes: Uint8Array, at: number, length: number): DataView {
    if (!Number.isInteger(at) || at < 0 || at + length > bytes.length) {
      throw new RangeError(
        `${this.type}: ${length} bytes at offset ${at} are not inside a ` +
          `buffer of ${bytes.length} bytes`,
      );
    }
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** A member of a struct, and where it is. */
interface Member {
  readonly name: string;
  readonly field: Field<unknown>;
  readonly at: number;
}

function isOverlay(field: Field<unknown>): field is Overlay<unknown> {
  return "over" in field;
}

/**
 * Describes one of the kernel's structs.
 *
 * @param name The struct's name in the kernel's header.
 * @param fields Its members, in the header's order and by the header's names.
 * @returns The layout.
 */
export function struct<F extends Fields>(name: string, fields: F): Struct<F> {
  return new Struct(name, fields);
}

/** What the upper half of a 64-bit number counts. */
const HALF = 2 ** 32;

/**
 * Writes a `__u64` from a number, without making a bigint of it.
 *
 * @param view Takes it.
 * @param at Byte offset.
 * @param value A safe integer, 0 or more.
 */
export function setUint64(view: DataView, at: number, value: number): void {
  // Takes the lowest 32 bits of any number.
  view.setUint32(at, value, true);
  view.setUint32(at + 4, value / HALF, true);
}

/**
 * Writes a `__u64` that is a number of pages of 4 KiB, in bytes.
 *
 * @param view Takes it.
 * @param at Byte offset.
 * @param page Less than 2^52.
 */
export function setPages(view: DataView, at: number, page: number): void {
  // Exact, as it is a shift; and again the lowest 32 bits.
  view.setUint32(at, page * 4096, true);
  view.setUint32(at + 4, page / 2 ** 20, true);
}

/**
 * The IOVA of a page of 4 KiB, in bytes.
 *
 * @param page Its number, less than 2^52.
 */
export function iovaOf(page: number): bigint {
  // Stays within 64 bits, which the processor multiplies itself.
  return BigInt.asUintN(64, BigInt(page) * 4096n);
}
