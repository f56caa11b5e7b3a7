import { assertEquals } from "@std/assert";
import { posix } from "node:path";
import { basename, dirname, resolve } from "../../../lib/host/path.ts";

const PATHS = ["/", "/sys", "/sys/bus/pci", "/sys//bus", "/a/../b", "/a/./b"];

Deno.test("basename() and dirname() agree with node:path when the path has no extra slash", () => {
  for (const path of ["/sys", "/sys/bus/pci", "/a/b.c"]) {
    assertEquals(basename(path), posix.basename(path));
    assertEquals(dirname(path), posix.dirname(path));
  }
  assertEquals(basename("../../../bus/pci"), "pci");
});

Deno.test("resolve() agrees with node:path when the first path is absolute", () => {
  for (const from of PATHS) {
    for (const to of ["", "..", "../..", "../../x", "/y/z", "a/./b//c", "."]) {
      assertEquals(resolve(from, to), posix.resolve(from, to), `${from} ${to}`);
      assertEquals(resolve(from, to, "d"), posix.resolve(from, to, "d"));
    }
  }
});
