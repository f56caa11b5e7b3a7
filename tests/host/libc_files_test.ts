/**
 * File operations on this machine's kernel. `tests/conformance/cases/files.ts`
 * has the same for the simulated kernel.
 */
import { assertThrows } from "@std/assert";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  FILE_OPERATIONS,
  inDirectory,
} from "../conformance/file_operations.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

for (const [name, operation] of Object.entries(FILE_OPERATIONS)) {
  Deno.test({
    name: `LibcKernel.${name}`,
    // The operations change the owner of root's files.
    ignore: Deno.uid() !== 0,
    fn: () => inDirectory(kernel, operation),
  });
}

Deno.test("LibcKernel throws a TypeError when a path to change has a NUL in it", () => {
  const path = "/tmp/a\0b";
  for (
    const step of [
      () => kernel.mkdir(path, 0o755),
      () => kernel.rmdir(path),
      () => kernel.rename(path, "/tmp/b"),
      () => kernel.rename("/tmp/b", path),
      () => kernel.unlink(path),
      () => kernel.symlink(path, "/tmp/b"),
      () => kernel.symlink("/tmp/b", path),
    ]
  ) {
    assertThrows(step, TypeError, "A path has no NUL");
  }
});
