/**
 * The command's own `parseArgs`, so that it starts without a registry. It takes
 * the same options as that of `@std/cli` and returns the same result. Its types
 * do not cover names with a dot.
 *
 * @module
 */

type Names = string | undefined;
type OneOrMore<N> = N | ReadonlyArray<Extract<N, string>>;
type Aliases = Record<string, string | readonly string[]>;

/** `K`, and its aliases in `A`. */
type Spellings<K, A> =
  | K
  | (K extends keyof A
    ? A[K] extends readonly (infer N)[] ? N : A[K] extends string ? A[K] : never
    : never);

type WithAliases<T, A> = { [K in keyof T as Spellings<K, A> & string]: T[K] };

type WithDefaults<T, D> = D extends Record<string, unknown> ?
    & Omit<T, keyof D>
    & { [K in keyof D]: D[K] | (K extends keyof T ? NonNullable<T[K]> : never) }
  : T;

/** The types of the values of boolean, string and collected names. */
type Flags<B extends Names, S extends Names, C extends Names, N extends Names> =
  & { [K in Exclude<B, C> & string]: boolean }
  & { [K in Extract<B, C> & string]: boolean[] }
  & { [K in Exclude<S, C> & string]?: K extends N ? string | false : string }
  & { [K in Extract<S, C> & string]: K extends N ? string[] | false : string[] }
  & {
    [K in Exclude<C, B | S> & string]: K extends N ? unknown[] | false
      : unknown[];
  };

/** The value returned from `parseArgs`. */
export type Args<
  // deno-lint-ignore no-explicit-any
  T extends Record<string, unknown> = Record<string, any>,
  DoubleDash extends boolean | undefined = undefined,
> =
  & T
  & { _: Array<string | number> }
  & (DoubleDash extends true ? { "--": string[] } : Record<never, never>);

/** The options for the `parseArgs` call. */
export interface ParseOptions<
  B extends boolean | Names = boolean | Names,
  S extends Names = Names,
  C extends Names = Names,
  N extends Names = Names,
  D extends Record<string, unknown> | undefined =
    | Record<string, unknown>
    | undefined,
  A extends Aliases | undefined = Aliases | undefined,
  DoubleDash extends boolean | undefined = boolean | undefined,
> {
  /** Gather what follows `--` under `"--"` instead of `_`. */
  "--"?: DoubleDash;
  /** Aliases of each name. */
  alias?: A;
  /** Names that take no value; `true` for all that begin with two dashes. */
  boolean?: OneOrMore<B>;
  /** Values of names that are not given. */
  default?: D;
  /** Leave everything after the first operand unparsed. */
  stopEarly?: boolean;
  /** Names whose values stay strings. */
  string?: OneOrMore<S>;
  /** Names that gather their values in an array. */
  collect?: OneOrMore<C>;
  /** Names that `--no-` turns off. */
  negatable?: OneOrMore<N>;
  /**
   * Called for each operand and each undeclared name; `false` leaves it out.
   */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Nested = { [key: string]: unknown };
type Value = string | number | boolean;

/**
 * The object that holds a key, and the key in it: `a.b` is `b` of the object
 * `a`.
 */
function holderOf(object: Nested, key: string): [Nested, string] {
  const parts = key.split(".");
  const last = parts.pop()!;
  for (const part of parts) object = (object[part] ??= {}) as Nested;
  return [object, last];
}

function has(object: Nested, key: string): boolean {
  let value: unknown = object;
  return key.split(".").every((part) => {
    if (!Object.hasOwn(value as Nested, part)) return false;
    value = (value as Nested)[part];
    return true;
  });
}

function numberOrString(text: string): string | number {
  return /\S/.test(text) && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** How names are declared, aliases included. */
class Declarations {
  #aliases = new Map<string, Set<string>>();
  readonly boolean: Set<string>;
  readonly string: Set<string>;
  readonly collect: Set<string>;
  readonly negatable: Set<string>;
  readonly allBoolean: boolean;

  constructor(options: ParseOptions) {
    for (const [key, value] of Object.entries(options.alias ?? {})) {
      if (value === undefined) {
        throw new TypeError("Alias value must be defined");
      }
      const group = new Set([key, ...[value].flat()]);
      for (const name of group) {
        this.#aliases.set(name, group.difference(new Set([name])));
      }
    }
    const { boolean } = options;
    this.allBoolean = boolean === true;
    this.boolean = this.#set(typeof boolean === "boolean" ? [] : boolean);
    this.string = this.#set(options.string);
    this.collect = this.#set(options.collect);
    this.negatable = this.#set(options.negatable);
  }

  #set(names: string | readonly string[] | undefined): Set<string> {
    const list = [names ?? []].flat().filter(Boolean);
    return new Set(list.flatMap((name) => [name, ...this.aliasesOf(name)]));
  }

  aliasesOf(name: string): Set<string> {
    return this.#aliases.get(name) ?? new Set();
  }

  isBoolean(name: string): boolean {
    return this.boolean.has(name) ||
      !this.aliasesOf(name).isDisjointFrom(this.boolean);
  }

  isDeclared(name: string): boolean {
    return this.boolean.has(name) || this.string.has(name) ||
      this.#aliases.has(name);
  }

  /** The value of a name that has none on the command line. */
  valueAlone(name: string): Value {
    return this.string.has(name) ? "" : true;
  }
}

/**
 * Takes a set of command line arguments, optionally with a set of options, and
 * returns an object representing the flags found in the passed arguments.
 */
export function parseArgs<
  const B extends boolean | Names = undefined,
  const S extends Names = undefined,
  const C extends Names = undefined,
  const N extends Names = undefined,
  D extends Record<string, unknown> | undefined = undefined,
  const A extends Aliases | undefined = undefined,
  DoubleDash extends boolean | undefined = undefined,
>(
  args: string[],
  options: ParseOptions<B, S, C, N, D, A, DoubleDash> = {},
): Args<
  [B | S | C] extends [undefined | boolean]
    // deno-lint-ignore no-explicit-any
    ? Record<string, any>
    :
      & Record<string, unknown>
      & WithAliases<WithDefaults<Flags<Extract<B, string>, S, C, N>, D>, A>,
  DoubleDash
> {
  const names = new Declarations(options as ParseOptions);
  const { unknown = () => true, stopEarly = false } = options;
  const operands: Array<string | number> = [];
  const result: Nested = { _: operands };

  function put(key: string, value: unknown, collect = false): void {
    for (const name of [key, ...names.aliasesOf(key)]) {
      const [holder, last] = holderOf(result, name);
      const old = holder[last];
      holder[last] = !collect || !names.collect.has(key)
        ? value
        : [...(Array.isArray(old) ? old : old ? [old] : []), value];
    }
  }

  function set(key: string, value: Value, arg: string, collect = true): void {
    const expected = names.isDeclared(key) ||
      (names.allBoolean && /^--[^=]+$/.test(arg));
    if (!expected && unknown(arg, key, value) === false) return;
    const isText = typeof value === "string" && !names.string.has(key);
    put(key, isText ? numberOrString(value as string) : value, collect);
  }

  /**
   * Parses `--key`, `--key=value`, `--key value` or `--no-key`. Returns how
   * many further arguments it used.
   */
  function long(arg: string, next: string | undefined): number {
    const { no, key: rest, value } = arg.match(
      /^--(?<no>no-)?(?<key>.+?)(?:=(?<value>.+?))?$/s,
    )!.groups!;
    let key = rest!;
    if (value) {
      set(key, names.boolean.has(key) ? value !== "false" : value, arg);
      return 0;
    }
    if (no && names.negatable.has(key)) {
      set(key, false, arg, false);
      return 0;
    }
    if (no) key = `no-${key}`;
    const takesValue = !names.allBoolean && !names.isBoolean(key);
    return setWithNext(key, arg, next, takesValue && !next?.startsWith("-"));
  }

  /**
   * Parses `-abc`, `-n5`, `-k=value` or `-k value`. Returns how many further
   * arguments it used.
   */
  function short(arg: string, next: string | undefined): number {
    const letters = arg.slice(1, -1);
    for (const [i, letter] of letters.split("").entries()) {
      const rest = arg.slice(i + 2);
      if (rest === "-") {
        set(letter, rest, arg);
        continue;
      }
      const value = !/[A-Za-z]/.test(letter)
        ? undefined
        : rest.match(/=(.+)/)?.[1] ??
          (/-?\d+(\.\d*)?(e-?\d+)?$/.test(rest) ? rest : undefined);
      const attached = value ?? (/\W/.test(letters[i + 1] ?? "") ? rest : null);
      if (attached !== null) {
        set(letter, attached, arg);
        return 0;
      }
      set(letter, names.valueAlone(letter), arg);
    }
    const key = arg.slice(-1);
    if (key === "-") return 0;
    const takesValue = !names.isBoolean(key) && !/^--?[^-]/.test(next ?? "");
    return setWithNext(key, arg, next, takesValue);
  }

  function setWithNext(
    key: string,
    arg: string,
    next: string | undefined,
    takesValue: boolean,
  ): number {
    if (next && takesValue) {
      set(key, next, arg);
      return 1;
    }
    if (next === "true" || next === "false") {
      set(key, next === "true", arg);
      return 1;
    }
    set(key, names.valueAlone(key), arg);
    return 0;
  }

  const end = args.indexOf("--");
  const afterDash = end < 0 ? [] : args.slice(end + 1);
  const parsed = end < 0 ? args : args.slice(0, end);
  for (let i = 0; i < parsed.length; i++) {
    const arg = parsed[i]!;
    const next = parsed[i + 1];
    if (arg.length > 2 && arg.startsWith("--")) {
      i += long(arg, next);
    } else if (arg.length > 1 && arg.startsWith("-")) {
      i += short(arg, next);
    } else {
      if (unknown(arg) !== false) {
        operands.push(names.string.has("_") ? arg : numberOrString(arg));
      }
      if (stopEarly) {
        operands.push(...parsed.slice(i + 1));
        break;
      }
    }
  }

  for (const [key, value] of Object.entries(options.default ?? {})) {
    if (!has(result, key)) put(key, value);
  }
  for (const key of names.boolean) {
    if (!has(result, key)) setOne(key, names.collect.has(key) ? [] : false);
  }
  for (const key of names.string) {
    if (!has(result, key) && names.collect.has(key)) setOne(key, []);
  }
  function setOne(key: string, value: unknown): void {
    const [holder, last] = holderOf(result, key);
    holder[last] = value;
  }

  if (options["--"]) result["--"] = afterDash;
  else operands.push(...afterDash);

  return result as ReturnType<typeof parseArgs<B, S, C, N, D, A, DoubleDash>>;
}
