import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  toVfioError,
  VfioError,
  type VfioErrorCode,
} from "../../../lib/errors.ts";
import source from "../../../lib/errors.ts" with { type: "text" };
import { KernelError } from "../../../lib/kernel/errno.ts";

/** The members of the union, as the source has them. */
function codesOfUnion(): string[] {
  const union = /export type VfioErrorCode =([^;]*);/.exec(source)![1]!;
  return [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code!);
}

/** The rows of the table in the doc comment: codes and meanings. */
function rowsOfTable(): [code: string, meaning: string][] {
  return [...source.matchAll(/^ \* \| `(\w+)` \| (.*) \|$/gm)]
    .map(([, code, meaning]) => [code!, meaning!]);
}

Deno.test("VfioErrorCode has each of its codes documented, in order", () => {
  const codes = codesOfUnion();
  assert(codes.includes("GROUP_NOT_VIABLE" satisfies VfioErrorCode));
  assertEquals(rowsOfTable().map(([code]) => code), codes);
  assertEquals(codes, codes.toSorted());
  assertEquals(new Set(codes).size, codes.length);
});

Deno.test("VfioErrorCode has a different meaning for each code", () => {
  const meanings = rowsOfTable().map(([, meaning]) => meaning);
  assertEquals(meanings.filter((meaning) => meaning.trim().length < 10), []);
  assertEquals(new Set(meanings).size, meanings.length);
});

Deno.test("VfioError begins with the device and ends with the hint", () => {
  const error = new VfioError("DEVICE_BUSY", {
    device: "0000:01:00.0",
    problem: "the group is open in another process",
    hint: "end that process",
  });
  assertEquals(
    error.message,
    "vfio 0000:01:00.0: the group is open in another process\n" +
      "hint: end that process",
  );
  assertEquals(error.name, "VfioError");
  assertEquals(error.code, "DEVICE_BUSY");
  assertEquals(error.device, "0000:01:00.0");
  assertEquals(error.hint, "end that process");
  assert(error instanceof Error);
});

Deno.test("VfioError has no hint line when there is no hint", () => {
  const error = new VfioError("KERNEL", { device: "gpu", problem: "it burns" });
  assertEquals(error.message, "vfio gpu: it burns");
  assertEquals(error.hint, undefined);
});

Deno.test("VfioError begins with vfio alone when it is about no device", () => {
  const error = new VfioError("NO_MEMORY", { problem: "there is none" });
  assertEquals(error.message, "vfio: there is none");
  assertEquals(error.device, undefined);
});

Deno.test("VfioError keeps the cause when there is one", () => {
  const cause = new KernelError(5, "pread");
  assertStrictEquals(
    new VfioError("KERNEL", { problem: "x", cause }).cause,
    cause,
  );
  const without = new VfioError("KERNEL", { problem: "x", cause: undefined });
  assert(!Object.hasOwn(without, "cause"));
});

Deno.test("toVfioError() returns KERNEL when the error is a KernelError", () => {
  const cause = new KernelError(5, "VFIO_DEVICE_RESET");
  const error = toVfioError(cause, "reset", "0000:01:00.0");
  assert(error instanceof VfioError);
  assertEquals(error.code, "KERNEL");
  assertEquals(
    error.message,
    "vfio 0000:01:00.0: cannot reset: " +
      "VFIO_DEVICE_RESET: EIO (Input/output error)",
  );
  assertStrictEquals(error.cause, cause);
});

Deno.test("toVfioError() adds the device when the error has none", () => {
  const cause = new KernelError(12, "VFIO_IOMMU_MAP_DMA");
  const details = { problem: "too much", hint: "map less", cause };
  const nameless = new VfioError("MEMLOCK_LIMIT", details);
  const error = toVfioError(nameless, "attach", "0000:01:00.0");
  assert(error instanceof VfioError);
  assertEquals(error.code, "MEMLOCK_LIMIT");
  assertEquals(
    error.message,
    "vfio 0000:01:00.0: too much\nhint: map less",
  );
  assertStrictEquals(error.cause, cause);
  assertStrictEquals(toVfioError(nameless, "map"), nameless);
});

Deno.test("toVfioError() returns the error unchanged when it is another one", () => {
  const errors = [
    new VfioError("DETACHED", { device: "vfio0", problem: "gone" }),
    new RangeError("too far"),
    "text",
    undefined,
  ];
  for (const error of errors) {
    assertStrictEquals(toVfioError(error, "attach", "0000:01:00.0"), error);
  }
});
