/**
 * The part of `@std/assert` that this project's tests use, for machines that
 * do not reach JSR: the same signatures, error class and first message line.
 * The difference is shown by `node:assert`.
 *
 * @module
 */
import { AssertionError as NodeAssertionError } from "node:assert";
import { inspect, stripVTControlCharacters } from "node:util";
import { AssertionError } from "./assertion_error.ts";
import { equal } from "./equal.ts";

export { AssertionError, equal };

// deno-lint-ignore no-explicit-any
type AnyConstructor = abstract new (...args: any[]) => any;
// deno-lint-ignore no-explicit-any
type ErrorConstructor<E extends Error> = abstract new (...args: any[]) => E;

/** What follows a message: the caller's own, or the full stop. */
function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}

function format(value: unknown): string {
  return inspect(value, { depth: Infinity, sorted: true });
}

function difference(actual: unknown, expected: unknown): string {
  const { message } = new NodeAssertionError({
    actual,
    expected,
    operator: "deepStrictEqual",
  });
  return message.slice(message.indexOf("\n") + 1);
}

/** Makes an assertion, error will be thrown if `expr` is falsy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Asserts that `actual` and `expected` are equal, deeply. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(
    `Values are not equal${suffix(msg)}\n${difference(actual, expected)}`,
  );
}

/** Asserts that `actual` and `expected` are not equal, deeply. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw new AssertionError(
    `Expected actual: ${format(actual)} not to be: ${format(expected)}${
      suffix(msg)
    }`,
  );
}

/** Asserts that `actual` and `expected` are the same by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(
    format(actual) === format(expected)
      ? `Values have the same structure but are not reference-equal${
        suffix(msg)
      }\n\n${format(actual)}\n`
      : `Values are not strictly equal${suffix(msg)}\n${
        difference(actual, expected)
      }`,
  );
}

/** Asserts that `actual` and `expected` are not the same by `Object.is`. */
export function assertNotStrictEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!Object.is(actual, expected)) return;
  throw new AssertionError(
    `Expected "actual" to not be strictly equal to: ${format(actual)}${
      suffix(msg)
    }\n`,
  );
}

/** Asserts that two numbers differ by no more than `tolerance`. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  // The default is relative to the number expected, as in the original.
  tolerance ??= isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7;
  const delta = Math.abs(expected - actual);
  if (delta <= tolerance) return;
  const f = (n: number) => Number.isInteger(n) ? n : n.toExponential();
  throw new AssertionError(
    `Expected actual: "${f(actual)}" to be close to "${f(expected)}": ` +
      `delta "${f(delta)}" is greater than "${f(tolerance)}"${suffix(msg)}`,
  );
}

/** Asserts that `actual` is neither `null` nor `undefined`. */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual !== undefined && actual !== null) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to not be null or undefined${suffix(msg)}`,
  );
}

/** Makes an assertion, error will be thrown if `expr` is truthy. */
export function assertFalse(
  expr: unknown,
  msg = "",
): asserts expr is false | 0 | "" | null | undefined {
  if (expr) throw new AssertionError(msg);
}

/** Asserts that `actual` is greater than `expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (actual > expected) return;
  throw new AssertionError(
    msg ?? `Expect ${format(actual)} > ${format(expected)}`,
  );
}

/** Asserts that `actual` is greater than or equal to `expected`. */
export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (actual >= expected) return;
  throw new AssertionError(
    msg ?? `Expect ${format(actual)} >= ${format(expected)}`,
  );
}

/** Asserts that `actual` is less than `expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (actual < expected) return;
  throw new AssertionError(
    msg ?? `Expect ${format(actual)} < ${format(expected)}`,
  );
}

/** Asserts that `actual` is less than or equal to `expected`. */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (actual <= expected) return;
  throw new AssertionError(
    msg ?? `Expect ${format(actual)} <= ${format(expected)}`,
  );
}

/** Asserts that `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T extends AnyConstructor>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  const type = typeof actual === "object" && actual !== null
    ? actual.constructor?.name ?? "Object"
    : actual === null
    ? "null"
    : typeof actual;
  const but = type === expectedType.name
    ? ""
    : type === "function"
    ? " but was not an instanced object"
    : ` but was "${type}"`;
  throw new AssertionError(
    `Expected object to be an instance of "${expectedType.name}"${but}${
      suffix(msg)
    }`,
  );
}

/** Asserts that `actual` matches the regular expression `expected`. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`,
  );
}

/** Asserts that `actual` does not match the regular expression `expected`. */
export function assertNotMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (!expected.test(actual)) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to not match: "${expected}"${suffix(msg)}`,
  );
}

/** Asserts that `actual` includes `expected`. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`,
  );
}

/** Asserts that `actual` includes each of the `expected` values, deeply. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T> & object,
  expected: ArrayLike<T> & object,
  msg?: string,
): void {
  const present = Array.from(actual);
  const missing = Array.from(expected).filter((value) =>
    !present.some((other) => equal(value, other))
  );
  if (missing.length === 0) return;
  throw new AssertionError(
    `Expected actual: "${format(actual)}" to include: "${format(expected)}"${
      suffix(msg)
    }\nmissing: ${format(missing)}`,
  );
}

/** Asserts that `expected` is a subset of `actual`, deeply. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(subset(actual, expected), subset(expected, expected), msg);
}

/** The part of `actual` that `expected` also has, as plain objects. */
function subset(actual: unknown, expected: unknown): unknown {
  if (
    typeof actual !== "object" || actual === null ||
    typeof expected !== "object" || expected === null ||
    actual instanceof RegExp
  ) return actual;
  if (actual instanceof Set && expected instanceof Set) {
    return actual.intersection(expected);
  }
  if (actual instanceof Map && expected instanceof Map) {
    return new Map(
      [...actual].filter(([key]) => expected.has(key))
        .map(([key, value]) => [key, subset(value, expected.get(key))]),
    );
  }
  return Object.fromEntries(
    Reflect.ownKeys(actual)
      .filter((key) => key in expected && key !== "length")
      .map((key) => [
        key,
        subset(
          (actual as Record<PropertyKey, unknown>)[key],
          (expected as Record<PropertyKey, unknown>)[key],
        ),
      ]),
  );
}

/** Asserts that `error` is an error, of that class and message if given. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    throw new AssertionError(
      `Expected "error" to be an Error object${suffix(msg)}`,
    );
  }
  if (ErrorClass && !(error instanceof ErrorClass)) {
    throw new AssertionError(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error?.constructor?.name}"${
        suffix(msg)
      }`,
    );
  }
  if (!msgMatches) return;
  const message = stripVTControlCharacters(error.message);
  const matches = msgMatches instanceof RegExp
    ? msgMatches.test(message)
    : message.includes(stripVTControlCharacters(msgMatches));
  if (matches) return;
  throw new AssertionError(
    `Expected error message to include ${
      msgMatches instanceof RegExp ? msgMatches : JSON.stringify(msgMatches)
    }, but got ${JSON.stringify(error.message)}${suffix(msg)}`,
  );
}

/** Asserts that `fn` throws anything. Returns what was thrown. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that `fn` throws an error of that class and message. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  errorClassOrMsg?: ErrorConstructor<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const { ErrorClass, message } = expectation(errorClassOrMsg, msg);
  try {
    fn();
  } catch (error) {
    if (!ErrorClass) return error;
    if (!(error instanceof Error)) {
      throw new AssertionError(
        `A non-Error object was thrown${suffix(message)}`,
      );
    }
    assertIsError(error, ErrorClass, msgIncludes, message);
    return error;
  }
  throw new AssertionError(`Expected function to throw${suffix(message)}`);
}

/** Asserts that the promise of `fn` rejects. Resolves to the reason. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Asserts that it rejects with an error of that class and message. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  errorClassOrMsg?: ErrorConstructor<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const { ErrorClass, message } = expectation(errorClassOrMsg, msg);
  let promise: PromiseLike<unknown> | undefined;
  try {
    promise = fn();
  } catch {
    // Thrown at once. It is reported below, like a value that is not a promise.
  }
  if (typeof promise !== "object" || typeof promise?.then !== "function") {
    throw new AssertionError(
      `Function throws when expected to reject${suffix(message)}`,
    );
  }
  try {
    await promise;
  } catch (error) {
    if (!ErrorClass) return error;
    if (!(error instanceof Error)) {
      throw new AssertionError(
        `A non-Error object was rejected${suffix(message)}`,
      );
    }
    assertIsError(error, ErrorClass, msgIncludes, message);
    return error;
  }
  throw new AssertionError(`Expected function to reject${suffix(message)}`);
}

function expectation<E extends Error>(
  errorClassOrMsg: ErrorConstructor<E> | string | undefined,
  msg: string | undefined,
): { ErrorClass: ErrorConstructor<E> | undefined; message?: string } {
  return typeof errorClassOrMsg === "string"
    ? { ErrorClass: undefined, message: errorClassOrMsg }
    : { ErrorClass: errorClassOrMsg, ...(msg ? { message: msg } : {}) };
}

/** Forcefully throws a failed assertion. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** Use this to assert unreachable code. */
export function unreachable(msg?: string): never {
  throw new AssertionError(`Unreachable${suffix(msg)}`);
}
