/**
 * Struct layouts as the C compiler makes them: natural alignment, tail padding
 * to the largest member's alignment, little-endian values. Both architectures
 * that this project runs on, x86-64 and arm64, agree on all of that.
 *
 * @module
 */

/** How one member of a struct lies in memory. A {@linkcode Struct} is one too. */
export interface Field<Out, In = Out> {
  /** The type as the kernel spells it: `u32`, `u8[16]`, or a struct's name. */
  readonly type: string;
  /** Bytes taken. */
  readonly size: number;
  /** Alignment in bytes. */
  readonly align: number;
  /** Reads the value at byte offset `at`. */
  get(view: DataView, at: number): Out;
  /**
   * Checks the value and writes it at byte offset `at`.
   *
   * @throws {TypeError} If the value has the wrong type.
   * @throws {RangeError} If it does not fit. Both begin with `path`.
   */
  set(view: DataView, at: number, value: In, path: string): void;
}

/** The fixed part ends where such a member begins: `struct area areas[];` */
export interface Flexible<E extends Field<unknown>>
  extends Field<undefined, never> {
  /** The layout of one element. */
  readonly element: E;
  /** Marks the member as no part of the struct's size and values. */
  readonly flexible: true;
}

/** A further name for the bytes of an earlier member: an anonymous union. */
export interface Overlay<Out, In = Out> extends Field<Out, In> {
  /** The name of the member that this one shares its bytes with. */
  readonly over: string;
}

/** The members of a struct, in the order of their declaration in C. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** The names of the members that hold values: all but a flexible tail. */
type ValueKeys<F extends Fields> = {
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

function integer(
  bits: 8 | 16 | 32,
  signed: boolean,
  get: (view: DataView, at: number) => number,
  set: (view: DataView, at: number, value: number) => void,
): Field<number> {
  const type = `${signed ? "i" : "u"}${bits}`;
  const min = signed ? -(2 ** (bits - 1)) : 0;
  const max = 2 ** (signed ? bits - 1 : bits) - 1;
  return {
    type,
    size: bits / 8,
    align: bits / 8,
    get,
    set(view, at, value, path) {
      if (typeof value !== "number") {
        throw new TypeError(`${path}: expected a number, got ${show(value)}`);
      }
      if (!Number.isInteger(value) || value < min || value > max) {
        throw new RangeError(`${path}: ${value} does not fit in a ${type}`);
      }
      set(view, at, value);
    },
  };
}

function integer64(
  signed: boolean,
  get: (view: DataView, at: number) => bigint,
  set: (view: DataView, at: number, value: bigint) => void,
): Field<bigint> {
  const type = signed ? "i64" : "u64";
  const wrap = signed ? BigInt.asIntN : BigInt.asUintN;
  return {
    type,
    size: 8,
    align: 8,
    get,
    set(view, at, value, path) {
      if (typeof value !== "bigint") {
        throw new TypeError(`${path}: expected a bigint, got ${show(value)}`);
      }
      if (wrap(64, value) !== value) {
        throw new RangeError(`${path}: ${value} does not fit in a ${type}`);
      }
      set(view, at, value);
    },
  };
}

function show(value: unknown): string {
  return value === null || value === undefined
    ? String(value)
    : `${typeof value} ${String(value)}`;
}

/** `__u8` */
export const u8: Field<number> = integer(
  8,
  false,
  (view, at) => view.getUint8(at),
  (view, at, value) => view.setUint8(at, value),
);

/** `__u16` */
export const u16: Field<number> = integer(
  16,
  false,
  (view, at) => view.getUint16(at, true),
  (view, at, value) => view.setUint16(at, value, true),
);

/** `__u32` */
export const u32: Field<number> = integer(
  32,
  false,
  (view, at) => view.getUint32(at, true),
  (view, at, value) => view.setUint32(at, value, true),
);

/** `__s32`, mostly a file descriptor */
export const i32: Field<number> = integer(
  32,
  true,
  (view, at) => view.getInt32(at, true),
  (view, at, value) => view.setInt32(at, value, true),
);

/** `__u64`, `__aligned_u64`, `__aligned_le64`, and a pointer on 64 bits */
export const u64: Field<bigint> = integer64(
  false,
  (view, at) => view.getBigUint64(at, true),
  (view, at, value) => view.setBigUint64(at, value, true),
);

/** `__s64` */
export const i64: Field<bigint> = integer64(
  true,
  (view, at) => view.getBigInt64(at, true),
  (view, at, value) => view.setBigInt64(at, value, true),
);

/** `__u8 name[length]`: decoded as a copy, encoded only at its full length. */
export function bytes(length: number): Field<Uint8Array> {
  return {
    type: `u8[${length}]`,
    size: length,
    align: 1,
    get: (view, at) =>
      new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
    set(view, at, value, path) {
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(
          `${path}: expected a Uint8Array, got ${show(value)}`,
        );
      }
      if (value.length !== length) {
        throw new RangeError(
          `${path}: expected ${length} bytes, got ${value.length}`,
        );
      }
      new Uint8Array(view.buffer, view.byteOffset + at, length).set(value);
    },
  };
}

/** `type name[length]`: encoded only at its full length. */
export function array<Out, In>(
  element: Field<Out, In>,
  length: number,
): Field<Out[], readonly In[]> {
  return {
    type: `${element.type}[${length}]`,
    size: element.size * length,
    align: element.align,
    get: (view, at) =>
      Array.from(
        { length },
        (_, i) => element.get(view, at + i * element.size),
      ),
    set(view, at, values, path) {
      if (!Array.isArray(values)) {
        throw new TypeError(`${path}: expected an array, got ${show(values)}`);
      }
      if (values.length !== length) {
        throw new RangeError(
          `${path}: expected ${length} elements, got ${values.length}`,
        );
      }
      values.forEach((value, i) =>
        element.set(view, at + i * element.size, value, `${path}[${i}]`)
      );
    },
  };
}

/** `type name[]`, the last member; its offset is where the elements begin. */
export function flexible<E extends Field<unknown>>(element: E): Flexible<E> {
  return {
    type: `${element.type}[]`,
    size: 0,
    align: element.align,
    element,
    flexible: true,
    get: () => undefined,
    set(_view, _at, _value, path) {
      throw new TypeError(
        `${path}: a flexible array is not part of the struct`,
      );
    },
  };
}

/**
 * A further member of the anonymous union that begins with the member `over`.
 * The members of one union have the same size here, as in all of the kernel's
 * structs that are described. Given values for several, the last one stays.
 */
export function overlay<Out, In>(
  over: string,
  field: Field<Out, In>,
): Overlay<Out, In> {
  return { ...field, over };
}

const alignUp = (value: number, align: number) =>
  Math.ceil(value / align) * align;

/**
 * The layout of one of the kernel's structs, and conversion between its bytes
 * and an object with its members: `number` up to 32 bits, `bigint` for 64 bits,
 * a `Uint8Array` for bytes, arrays and nested objects for the rest.
 *
 * @example
 * ```ts
 * import { struct, u32, u64 } from "./layout.ts";
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
   * The leading member by which the kernel learns how long the struct is that
   * it was handed: `argsz` in VFIO, `size` in iommufd.
   */
  readonly #sizeField: string | undefined;
  readonly #names: readonly string[];

  /** Use {@linkcode struct}. */
  constructor(type: string, fields: F) {
    const offset: Record<string, number> = {};
    let end = 0;
    let align = 1;
    for (const [name, field] of Object.entries(fields)) {
      if (isOverlay(field)) {
        offset[name] = offset[field.over]!;
        continue;
      }
      offset[name] = alignUp(end, field.align);
      end = offset[name] + field.size;
      align = Math.max(align, field.align);
    }
    const first = Object.keys(fields)[0];
    this.type = type;
    this.fields = fields;
    this.offset = offset as { [K in keyof F]: number };
    this.align = align;
    this.size = alignUp(end, align);
    this.#sizeField = first === "argsz" || first === "size" ? first : undefined;
    this.#names = Object.keys(fields).filter((name) =>
      !("flexible" in fields[name]!)
    );
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
    return Array.from(
      { length: count },
      (_, i) => this.get(view, at + i * this.size),
    );
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
    values: Encodable<F> = {},
    extraBytes = 0,
  ): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.size + extraBytes);
    const sized = this.#sizeField === undefined
      ? values
      : { [this.#sizeField]: bytes.length, ...values };
    this.encode(bytes, sized);
    return bytes;
  }

  /** As a nested member: reads it. */
  get(view: DataView, at: number): Decoded<F> {
    const values: Record<string, unknown> = {};
    for (const name of this.#names) {
      values[name] = this.fields[name]!.get(view, at + this.offset[name]!);
    }
    return values as Decoded<F>;
  }

  /** As a nested member: writes it. */
  set(view: DataView, at: number, values: Encodable<F>, path: string): void {
    if (typeof values !== "object" || values === null) {
      throw new TypeError(`${path}: expected an object, got ${show(values)}`);
    }
    new Uint8Array(view.buffer, view.byteOffset + at, this.size).fill(0);
    if (this.#sizeField !== undefined) {
      view.setUint32(at, this.size, true);
    }
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) continue;
      if (!Object.hasOwn(this.fields, name)) {
        throw new TypeError(`${path}.${name}: no such member`);
      }
      this.fields[name]!.set(
        view,
        at + this.offset[name]!,
        value,
        `${path}.${name}`,
      );
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
