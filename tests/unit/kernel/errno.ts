import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  errnoMessage,
  errnoName,
  errnoNumber,
  hasErrno,
  KernelError,
} from "../../../lib/kernel/errno.ts";

/** All errnos of Linux. 41 and 58 are gaps: their names have other numbers. */
const NUMBERS = Array.from({ length: 133 }, (_, i) => i + 1)
  .filter((number) => number !== 41 && number !== 58);

Deno.test("errnoName() returns a different name for every errno of Linux", () => {
  const names = NUMBERS.map(errnoName);
  assertEquals(names.filter((name) => !/^E(?!\d+$)[A-Z0-9]+$/.test(name)), []);
  assertEquals(new Set(names).size, 131);
  assertEquals([names[0], names[15], names.at(-1)], [
    "EPERM",
    "EBUSY",
    "EHWPOISON",
  ]);
});

Deno.test("errnoName() returns the number when the errno is unknown", () => {
  assertEquals([0, 41, 58, 134, 517].map(errnoName), [
    "E0",
    "E41",
    "E58",
    "E134",
    "E517",
  ]);
});

Deno.test("errnoMessage() returns a text for every errno, also when it is unknown", () => {
  assertEquals(NUMBERS.map(errnoMessage).filter((text) => text === ""), []);
  assertFalse(NUMBERS.map(errnoMessage).includes("Unknown error"));
  assertEquals(errnoMessage(16), "Device or resource busy");
  assertEquals(errnoMessage(517), "Unknown error");
});

Deno.test("errnoNumber() returns the number of every name", () => {
  assertEquals(NUMBERS.map(errnoName).map(errnoNumber), NUMBERS);
});

Deno.test("errnoNumber() throws when no errno has the name", () => {
  for (const name of ["", "ebusy", "EBUSY ", "E41", "toString"]) {
    assertThrows(() => errnoNumber(name), TypeError, `"${name}"`);
  }
});

Deno.test("KernelError has the failed call, the file and the reason in its message", () => {
  const error = new KernelError(13, "open", "/dev/vfio/vfio");
  assertEquals(
    error.message,
    "open /dev/vfio/vfio: EACCES (Permission denied)",
  );
  assertEquals(
    [error.name, error.errno, error.code, error.syscall, error.path],
    ["KernelError", 13, "EACCES", "open", "/dev/vfio/vfio"],
  );
  assert(error instanceof Error);
});

Deno.test("KernelError leaves out the file when there is none", () => {
  const error = new KernelError(22, "VFIO_SET_IOMMU");
  assertEquals(error.message, "VFIO_SET_IOMMU: EINVAL (Invalid argument)");
  assertEquals(error.path, undefined);
});

Deno.test("hasErrno() is true only when a KernelError has one of the names", () => {
  const error = new KernelError(16, "open");
  assert(hasErrno(error, "EBUSY"));
  assert(hasErrno(error, "EPERM", "EBUSY"));
  assertFalse(hasErrno(error, "EPERM", "EACCES"));
  assertFalse(hasErrno(error));
  assertFalse(hasErrno(Object.assign(new Error(), { code: "EBUSY" }), "EBUSY"));
  assertFalse(hasErrno("EBUSY", "EBUSY"));
  assertFalse(hasErrno(undefined, "EBUSY"));
});
