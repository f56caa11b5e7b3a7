type Key = string | symbol;
type Indexable = Record<Key, unknown>;

/** The types whose content is not in properties. */
const COMPARED_AS_STRINGS: ReadonlySet<unknown> = new Set(
  [RegExp, URL, URLSearchParams, Intl.Locale].map((type) => type.prototype),
);

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** The prototype. An object without one counts as a plain object. */
function prototypeOf(value: object): unknown {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

/** Compares bytes and numbers like `Set`: NaN equals NaN, and 0 equals -0. */
function sameValueZero(a: unknown, b: unknown): boolean {
  return a === b || Object.is(a, b);
}

/**
 * The properties to compare: the enumerable ones of plain objects and arrays,
 * and all of a class instance, including inherited accessors.
 */
function keysOf(value: object): Set<Key> {
  const prototype = prototypeOf(value);
  if (prototype === Object.prototype || prototype === Array.prototype) {
    return new Set(Reflect.ownKeys({ ...value }));
  }
  const keys = new Set<Key>();
  for (
    let object: object | null = value;
    object !== null && object !== Object.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const key of Reflect.ownKeys(object)) keys.add(key);
  }
  return keys;
}

function equalElements(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  return a.length === b.length &&
    Array.prototype.every.call(a, (value, i) => sameValueZero(value, b[i]));
}

/** Deep equality, as `assertEquals` means it. */
export function equal(a: unknown, b: unknown): boolean {
  const underway = new Map<object, object>();

  function compare(a: unknown, b: unknown): boolean {
    if (sameValueZero(a, b)) return true;
    if (!isObject(a) || !isObject(b)) return false;
    if (prototypeOf(a) !== prototypeOf(b)) return false;
    if (a instanceof Date) return Object.is(+a, +(b as Date));
    if (ArrayBuffer.isView(a) && !(a instanceof DataView)) {
      return equalElements(a as Uint8Array, b as Uint8Array);
    }
    if (a instanceof ArrayBuffer || a instanceof SharedArrayBuffer) {
      return equalElements(
        new Uint8Array(a),
        new Uint8Array(b as ArrayBuffer),
      );
    }
    if (a instanceof WeakMap || a instanceof WeakSet) {
      throw new TypeError(`Cannot compare ${a.constructor.name} instances`);
    }
    if (a instanceof WeakRef) {
      return compare(a.deref(), (b as WeakRef<WeakKey>).deref());
    }
    if (underway.get(a) === b) return true;
    if (Object.keys(a).length !== Object.keys(b).length) return false;
    underway.set(a, b);
    if (a instanceof Map || a instanceof Set) {
      return compareEntries(a, b as typeof a);
    }
    if (COMPARED_AS_STRINGS.has(prototypeOf(a))) return String(a) === String(b);
    for (const key of keysOf(a).union(keysOf(b))) {
      if ((key in a) !== (key in b)) return false;
      if (!compare((a as Indexable)[key], (b as Indexable)[key])) return false;
    }
    return true;
  }

  /** Compares sets and maps: each entry needs an equal one, in any order. */
  function compareEntries(
    a: Map<unknown, unknown> | Set<unknown>,
    b: Map<unknown, unknown> | Set<unknown>,
  ): boolean {
    if (a.size !== b.size) return false;
    const others = [...b.entries()];
    return [...a.entries()].every(([key, value]) =>
      others.some(([otherKey, other]) =>
        compare(key, otherKey) && compare(value, other)
      )
    );
  }

  return compare(a, b);
}
