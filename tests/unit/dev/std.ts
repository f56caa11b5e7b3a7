/**
 * The behaviour of `@std` that the other tests and the scripts rely on. The
 * packages from JSR and the stand-ins in `tests/offline_std/` must both have
 * it.
 *
 * @module
 */
import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertIsError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import {
  basename,
  dirname,
  extname,
  fromFileUrl,
  isAbsolute,
  join,
  normalize,
  relative,
  resolve,
  toFileUrl,
} from "@std/path";

/** Checks that an assertion fails with a text. */
function fails(text: string, assertion: () => void): void {
  let thrown: unknown;
  try {
    assertion();
  } catch (error) {
    thrown = error;
  }
  if (!(thrown instanceof AssertionError && thrown.message.includes(text))) {
    throw new Error(`Expected an AssertionError with "${text}": ${thrown}`);
  }
}

Deno.test("equal() compares content, type and presence", () => {
  class Point {
    #x: number;
    constructor(x: number) {
      this.#x = x;
    }
    get x(): number {
      return this.#x;
    }
  }
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const other: Record<string, unknown> = {};
  other.self = other;
  const same: Array<[unknown, unknown]> = [
    [NaN, NaN],
    [0, -0],
    [1n, 1n],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
    [{ a: 1 }, Object.assign(Object.create(null), { a: 1 })],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
    [
      new BigUint64Array([1n]).buffer,
      new Uint8Array([1, ...Array(7).fill(0)]).buffer,
    ],
    [new Set([1, { a: 1 }]), new Set([{ a: 1 }, 1])],
    [new Map([["a", { b: 1 }]]), new Map([["a", { b: 1 }]])],
    [new Date(5), new Date(5)],
    [/a/g, /a/g],
    [new URL("a:b"), new URL("a:b")],
    [new Point(1), new Point(1)],
    [circular, other],
  ];
  for (const [a, b] of same) assert(equal(a, b), Deno.inspect([a, b]));
  const different: Array<[unknown, unknown]> = [
    [1, 1n],
    [1, "1"],
    [null, undefined],
    [{ a: undefined }, {}],
    [{ a: undefined }, { b: undefined }],
    [[1, 2], [1]],
    [[], {}],
    [new Uint8Array([1]), new Uint8Array([2])],
    [new Uint8Array([1]), new Int8Array([1])],
    [new Set([1]), new Set([2])],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Date(5), new Date(6)],
    [/a/g, /a/],
    [new Point(1), new Point(2)],
    [() => {}, () => {}],
  ];
  for (const [a, b] of different) assert(!equal(a, b), Deno.inspect([a, b]));
});

Deno.test("assertions on one value pass and fail", () => {
  assert(1);
  fails("why", () => assert(0, "why"));
  assertFalse(0);
  fails("", () => assertFalse(1));
  assertExists(0);
  fails('"null"', () => assertExists(null));
  assertMatch("abc", /b/);
  fails(
    'Expected actual: "abc" to match: "/d/"',
    () => assertMatch("abc", /d/),
  );
  assertNotMatch("abc", /d/);
  fails("to not match", () => assertNotMatch("abc", /b/));
  assertStringIncludes("abc", "b");
  fails('to contain: "d"', () => assertStringIncludes("abc", "d"));
  assertInstanceOf(new RangeError(), Error);
  fails(
    'instance of "Map" but was "Set"',
    () => assertInstanceOf(new Set(), Map),
  );
  assertIsError(new RangeError("far off"), RangeError, "far");
  fails(
    'to include "near"',
    () => assertIsError(new RangeError("far off"), RangeError, "near"),
  );
  fails("Failed assertion: why", () => fail("why"));
  fails("Unreachable", () => unreachable());
});

Deno.test("assertions on two values pass and fail", () => {
  assertEquals({ a: [1] }, { a: [1] });
  fails("Values are not equal: why\n", () => assertEquals(1, 2, "why"));
  assertNotEquals(1, 2);
  fails("Expected actual: 1 not to be: 1", () => assertNotEquals(1, 1));
  assertStrictEquals("a", "a");
  fails("not reference-equal", () => assertStrictEquals({}, {}));
  fails("Values are not strictly equal.", () => assertStrictEquals(0, -0));
  assertNotStrictEquals({}, {});
  fails("to not be strictly equal", () => assertNotStrictEquals(1, 1));
  assertAlmostEquals(0.1 + 0.2, 0.3);
  fails("to be close to", () => assertAlmostEquals(0.1, 0.2));
  assertGreater(2n, 1n);
  fails("Expect 1 > 1", () => assertGreater(1, 1));
  assertGreaterOrEqual(1, 1);
  fails("Expect 0 >= 1", () => assertGreaterOrEqual(0, 1));
  assertLess(1, 2);
  fails("Expect 1 < 1", () => assertLess(1, 1));
  assertLessOrEqual(1, 1);
  fails("Expect 2 <= 1", () => assertLessOrEqual(2, 1));
  assertArrayIncludes([1, { a: 1 }], [{ a: 1 }]);
  fails("missing", () => assertArrayIncludes([1], [2]));
  assertObjectMatch({ a: 1, b: [{ c: 1, d: 2 }] }, { b: [{ c: 1 }] });
  fails("Values are not equal", () => assertObjectMatch({ a: 1 }, { b: 1 }));
});

Deno.test("assertThrows() and assertRejects() return the error when it matches", async () => {
  const error = new RangeError("far off");
  const throwing = () => {
    throw error;
  };
  assertStrictEquals(assertThrows(throwing), error);
  assertStrictEquals(assertThrows(throwing, RangeError, "far"), error);
  fails("Expected function to throw: why", () => assertThrows(() => 1, "why"));
  fails(
    'be instance of "TypeError", but was "RangeError"',
    () => assertThrows(throwing, TypeError),
  );
  fails("A non-Error object was thrown", () =>
    assertThrows(() => {
      throw 1;
    }, Error));

  const rejecting = () => Promise.reject(error);
  assertStrictEquals(await assertRejects(rejecting), error);
  assertStrictEquals(await assertRejects(rejecting, RangeError, "far"), error);
  for (
    const [text, wrong] of [
      ["Expected function to reject", () => assertRejects(async () => {})],
      ["be instance of", () => assertRejects(rejecting, TypeError)],
      ["Function throws when expected", () => assertRejects(throwing)],
      ["non-Error", () => assertRejects(() => Promise.reject(1), Error)],
    ] as const
  ) {
    const failure = await wrong().then(() => undefined, (reason) => reason);
    fails(text, () => {
      if (failure) throw failure;
    });
  }
});

Deno.test("parseArgs() reads flags, values and operands as declared", () => {
  const args = parseArgs(
    ["-v", "--device=0000:01:00.0", "-d", "2", "--no-color", "4", "--", "-x"],
    {
      boolean: ["verbose", "color"],
      string: ["device", "mode", "out"],
      collect: ["device"],
      negatable: ["color"],
      alias: { verbose: "v", device: "d" },
      default: { mode: "auto", color: true },
      "--": true,
    },
  );
  // This also checks the types.
  const typed: {
    verbose: boolean;
    device: string[];
    d: string[];
    mode: string;
    out?: string | undefined;
    rest: string[];
  } = {
    verbose: args.verbose,
    device: args.device,
    d: args.d,
    mode: args.mode,
    out: args.out,
    rest: args["--"],
  };
  assertEquals(typed, {
    verbose: true,
    device: ["0000:01:00.0", "2"],
    d: ["0000:01:00.0", "2"],
    mode: "auto",
    out: undefined,
    rest: ["-x"],
  });
  assertEquals(args.color, false);
  assertEquals(args._, [4]);
});

Deno.test("parseArgs() guesses the types of undeclared options", () => {
  assertEquals(parseArgs(["--n", "5", "-abc", "--s=x", "--flag", "--", "y"]), {
    n: 5,
    a: true,
    b: true,
    c: true,
    s: "x",
    flag: true,
    _: ["y"],
  });
  assertEquals(parseArgs(["--a.b=1"]), { a: { b: 1 }, _: [] });
});

Deno.test("parseArgs() stops at the first operand, and calls back for unknown options", () => {
  assertEquals(
    parseArgs(["-a", "run", "--b"], { boolean: ["a"], stopEarly: true }),
    {
      a: true,
      _: ["run", "--b"],
    },
  );
  const unknownOptions: unknown[] = [];
  const args = parseArgs(["--a", "--b=1", "c"], {
    boolean: ["a"],
    unknown: (...question) => {
      unknownOptions.push(question);
      return false;
    },
  });
  assertEquals(unknownOptions, [["--b=1", "b", "1"], ["c"]]);
  assertEquals(args, { a: true, _: [] });
});

Deno.test("@std/path splits and joins paths", () => {
  assertEquals(basename("/a/b.ts", ".ts"), "b");
  assertEquals(basename("/"), "/");
  assertEquals(dirname("/a/b/"), "/a");
  assertEquals(dirname("/a//b"), "/a");
  assertEquals(extname("a.tar.gz"), ".gz");
  assertEquals(isAbsolute("a"), false);
  assertEquals(join("/a", "..", "b/"), "/b/");
  assertEquals(normalize("a//b/../c"), "a/c");
  assertEquals(relative("/a/b", "/a/c/d"), "../c/d");
  assertEquals(resolve("/a", "b", "../c"), "/a/c");
  assertEquals(toFileUrl("/a b%?#").href, "file:///a%20b%25%3F%23");
  assertEquals(fromFileUrl("file:///a%20b%25"), "/a b%");
  assertThrows(() => toFileUrl("a"), TypeError, "absolute");
  assertThrows(() => fromFileUrl("https://a/b"), TypeError, "file URL");
});
