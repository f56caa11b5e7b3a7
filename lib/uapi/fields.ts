/**
 * How the members of a struct lie in memory: integers, arrays, bytes, a
 * flexible tail and the members of a union.
 *
 * @module
 */

/** How one member of a struct lies in memory. A `Struct` is one too. */
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

/** The layout of a `__u8`. */
export interface U8 extends Field<number> {
  /** Tells it from integers of other widths. */
  readonly type: "u8";
}

/** The layout of a `__u16`. */
export interface U16 extends Field<number> {
  /** Tells it from integers of other widths. */
  readonly type: "u16";
}

/** The layout of a `__u32`. */
export interface U32 extends Field<number> {
  /** Tells it from integers of other widths. */
  readonly type: "u32";
}

/** The layout of a `__s32`. */
export interface I32 extends Field<number> {
  /** Tells it from integers of other widths. */
  readonly type: "i32";
}

/** The layout of a `__u64`. */
export interface U64 extends Field<bigint> {
  /** Tells it from integers of other widths. */
  readonly type: "u64";
}

/** The layout of a `__s64`. */
export interface I64 extends Field<bigint> {
  /** Tells it from integers of other widths. */
  readonly type: "i64";
}

/** The layout of a `__u8 name[length]`. */
export type Bytes = Field<Uint8Array>;

/** The layout of a `type name[length]`. */
export type ArrayOf<Out, In = Out> = Field<Out[], readonly In[]>;

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

function integer<T extends string>(
  type: T,
  get: (view: DataView, at: number) => number,
  set: (view: DataView, at: number, value: number) => void,
): Field<number> & { readonly type: T } {
  const signed = type.startsWith("i");
  const bits = Number(type.slice(1));
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

function integer64<T extends string>(
  type: T,
  get: (view: DataView, at: number) => bigint,
  set: (view: DataView, at: number, value: bigint) => void,
): Field<bigint> & { readonly type: T } {
  const wrap = type.startsWith("i") ? BigInt.asIntN : BigInt.asUintN;
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
export const u8: U8 = integer(
  "u8",
  (view, at) => view.getUint8(at),
  (view, at, value) => view.setUint8(at, value),
);

/** `__u16` */
export const u16: U16 = integer(
  "u16",
  (view, at) => view.getUint16(at, true),
  (view, at, value) => view.setUint16(at, value, true),
);

/** `__u32` */
export const u32: U32 = integer(
  "u32",
  (view, at) => view.getUint32(at, true),
  (view, at, value) => view.setUint32(at, value, true),
);

/** `__s32`, mostly a file descriptor */
export const i32: I32 = integer(
  "i32",
  (view, at) => view.getInt32(at, true),
  (view, at, value) => view.setInt32(at, value, true),
);

/** `__u64`, `__aligned_u64`, `__aligned_le64`, and a pointer on 64 bits */
export const u64: U64 = integer64(
  "u64",
  (view, at) => view.getBigUint64(at, true),
  (view, at, value) => view.setBigUint64(at, value, true),
);

/** `__s64` */
export const i64: I64 = integer64(
  "i64",
  (view, at) => view.getBigInt64(at, true),
  (view, at, value) => view.setBigInt64(at, value, true),
);

/** `__u8 name[length]`: decoded as a copy, encoded only at its full length. */
export function bytes(length: number): Bytes {
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
): ArrayOf<Out, In> {
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
