import { assertThrows } from "@std/assert";
import type { Kernel } from "../../lib/kernel/kernel.ts";

/**
 * Makes a kernel load all it can of libc. What it loads stays loaded: a test in
 * which that happened would seem to leak it.
 */
export async function loadAll(kernel: Kernel): Promise<void> {
  kernel.stat("/");
  kernel.close(kernel.eventfd(0, 0));
  assertThrows(() => kernel.fsync(-1));
  assertThrows(() => kernel.socket(-1, 0, 0));
  await kernel.pollAsync([], 0);
  await kernel.writeFileAsync("/dev/null", "x");
}
