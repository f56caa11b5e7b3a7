/**
 * Rules for values. Each rule checks values and says precisely what is wrong
 * with one, and has an equivalent JSON schema.
 *
 * @module
 */

import { shortJson } from "./printable.ts";
import { nearest } from "./suggest.ts";

/** JSON, as far as a schema needs it. */
export type Schema = { readonly [key: string]: unknown };

/** A rule for a value. */
export interface Rule<T> {
  /** The equivalent JSON schema, draft 2020-12. */
  readonly schema: Schema;
  /**
   * Checks a value.
   *
   * @param value The value.
   * @param at Its place in the state: `functions[2].driver`.
   * @throws {TypeError} When it breaks the rule.
   */
  check(value: unknown, at: string): asserts value is T;
}

/** Makes the error for a value that breaks a rule. */
export function mismatch(
  at: string,
  expected: string,
  value: unknown,
): TypeError {
  return new TypeError(
    `${at || "the state"}: expected ${expected}, got ${shortJson(value)}`,
  );
}

/** Makes a rule from a test. */
function testRule<T>(
  expected: string,
  schema: Schema,
  test: (value: unknown) => boolean,
): Rule<T> {
  return {
    schema,
    check(value: unknown, at: string): asserts value is T {
      if (!test(value)) throw mismatch(at, expected, value);
    },
  };
}

/**
 * A text.
 *
 * @param expected What it is, as in "expected a name".
 * @param pattern The pattern that it matches. Default: any text.
 */
export function text(expected: string, pattern?: RegExp): Rule<string> {
  return testRule(
    expected,
    { type: "string", ...(pattern && { pattern: pattern.source }) },
    (value) => typeof value === "string" && (pattern?.test(value) ?? true),
  );
}

/** A whole number from `minimum` to `maximum`. */
export function wholeNumber(
  expected: string,
  minimum: number,
  maximum: number,
): Rule<number> {
  return testRule(
    expected,
    { type: "integer", minimum, maximum },
    (value) =>
      Number.isInteger(value) && Number(value) >= minimum &&
      Number(value) <= maximum,
  );
}

/** One of these values. */
export function oneOf<const T extends readonly (string | boolean | null)[]>(
  expected: string,
  values: T,
): Rule<T[number]> {
  return {
    schema: { enum: values },
    check(value: unknown, at: string): asserts value is T[number] {
      if (values.includes(value as T[number])) return;
      const similar = typeof value === "string"
        ? nearest(value, values.filter((each) => typeof each === "string"))
        : undefined;
      const { message } = mismatch(at, expected, value);
      throw new TypeError(message + suggestion(similar));
    },
  };
}

/** A value of the rule, or `null`. */
export function orNull<T>(expected: string, rule: Rule<T>): Rule<T | null> {
  const schema = { anyOf: [rule.schema, { type: "null" }] };
  return testRule(
    expected,
    schema,
    (value) => value === null || passes(rule, value),
  );
}

/** A value of one of two rules. */
export function either<A, B>(
  expected: string,
  first: Rule<A>,
  second: Rule<B>,
): Rule<A | B> {
  return testRule(
    expected,
    { anyOf: [first.schema, second.schema] },
    (value) => passes(first, value) || passes(second, value),
  );
}

/** A list. */
export function list<T>(
  expected: string,
  item: Rule<T>,
  options: { readonly least?: number; readonly unique?: boolean } = {},
): Rule<readonly T[]> {
  const { least = 0, unique = false } = options;
  return {
    schema: {
      type: "array",
      items: item.schema,
      ...(least > 0 && { minItems: least }),
      ...(unique && { uniqueItems: true }),
    },
    check(value: unknown, at: string): asserts value is readonly T[] {
      if (!Array.isArray(value) || value.length < least) {
        throw mismatch(at, expected, value);
      }
      for (const [i, each] of value.entries()) {
        assert(item, each, `${at}[${i}]`);
      }
      if (unique && new Set(value).size < value.length) {
        throw mismatch(at, `${expected}, each once`, value);
      }
    },
  };
}

/** An object with a value for each of many names. */
export function record<T>(
  expected: string,
  name: { readonly expected: string; readonly pattern: RegExp },
  item: Rule<T>,
): Rule<Readonly<Record<string, T>>> {
  return {
    schema: {
      type: "object",
      propertyNames: { pattern: name.pattern.source },
      additionalProperties: item.schema,
    },
    check(
      value: unknown,
      at: string,
    ): asserts value is Readonly<Record<string, T>> {
      for (const [key, each] of entriesOf(value, at, expected)) {
        if (!name.pattern.test(key)) throw mismatch(at, name.expected, key);
        assert(item, each, `${at}[${shortJson(key)}]`);
      }
    },
  };
}

/** A rule for each key that an object of a type can have. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Rule<Exclude<T[K], undefined>>;
};

/** The rules for an object beyond those for its keys. */
export interface ObjectOptions<T> {
  /** A title for people, in the schema. */
  readonly title: string;
  /** The keys that it must have. */
  readonly required?: readonly (keyof T & string)[];
  /** How many keys it must have. Default: none. */
  readonly least?: number;
  /** A rule for several of its keys together, as a schema and as a check. */
  readonly jointRule?: {
    readonly schema: Schema;
    readonly check: (value: T, at: string) => void;
  };
}

/** An object with known keys, and no others. */
export function object<T>(
  expected: string,
  fields: Fields<T>,
  { title, required = [], least = 0, jointRule }: ObjectOptions<T>,
): Rule<T> {
  const rules = Object.entries(fields as Record<string, Rule<unknown>>);
  return {
    schema: {
      title,
      type: "object",
      properties: Object.fromEntries(
        rules.map(([key, { schema }]) => [key, schema]),
      ),
      ...(required.length > 0 && { required }),
      ...(least > 0 && { minProperties: least }),
      additionalProperties: false,
      ...jointRule?.schema,
    },
    check(value: unknown, at: string): asserts value is T {
      const entries = entriesOf(value, at, expected);
      const below = (key: string) => {
        const name = /^[\w$-]{1,60}$/.test(key) ? key : shortJson(key);
        return at === "" ? name : `${at}.${name}`;
      };
      for (const [key] of entries) {
        if (Object.hasOwn(fields, key)) continue;
        const similar = nearest(key, rules.map(([key]) => key));
        throw new TypeError(
          `${below(key)}: there is no such key${suggestion(similar)}`,
        );
      }
      for (const key of required) {
        if (!entries.some(([each]) => each === key)) {
          throw mismatch(at, `${expected} with the key "${key}"`, value);
        }
      }
      if (entries.length < least) throw mismatch(at, expected, value);
      for (const [key, each] of entries) {
        assert(fields[key as keyof T], each, below(key));
      }
      jointRule?.check(value as T, at);
    },
  };
}

/**
 * A value of one of several rules. A test decides which.
 *
 * @param expected What the value is.
 * @param rules The rules, each with the test that chooses it.
 */
export function choice<T>(
  expected: string,
  ...rules: readonly (readonly [(value: unknown) => boolean, Rule<T>])[]
): Rule<T> {
  return {
    schema: { anyOf: rules.map(([, { schema }]) => schema) },
    check(value: unknown, at: string): asserts value is T {
      const chosen = rules.find(([matches]) => matches(value));
      if (chosen === undefined) throw mismatch(at, expected, value);
      assert(chosen[1], value, at);
    },
  };
}

/** The rule with a description for people, in the schema. */
export function described<T>(description: string, rule: Rule<T>): Rule<T> {
  return { ...rule, schema: { description, ...rule.schema } };
}

/** Checks a value without narrowing its type. */
function assert(rule: Rule<unknown>, value: unknown, at: string): void {
  rule.check(value, at);
}

function passes(rule: Rule<unknown>, value: unknown): boolean {
  try {
    assert(rule, value, "");
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Lists the entries of an object, without those whose value is `undefined`. */
function entriesOf(
  value: unknown,
  at: string,
  expected: string,
): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw mismatch(at, expected, value);
  }
  return Object.entries(value).filter(([, each]) => each !== undefined);
}

function suggestion(similar: string | undefined): string {
  return similar === undefined
    ? ""
    : `; did you mean ${JSON.stringify(similar)}?`;
}
