import { assertThrows } from "@std/assert";
import type { Kernel } from "../../lib/kernel/kernel.ts";

/**
 * Makes a kernel load all that it uses of libc. That stays loaded, which would
 * look like a leak in a test.
 */
export async function loadAll(kernel: Kernel): Promise<void> {
  kernel.stat("/");
  kernel.close(kernel.eventfd(0, 0));
  assertThrows(() => kernel.fsync(-1));
  assertThrows(() => kernel.socket(-1, 0, 0));
  assertThrows(() => kernel.fcntl(-1, 0));
  await kernel.pollAsync([], 0);
  const event = kernel.eventfd(0, 0);
  await kernel.watch(event).return!();
  kernel.close(event);
  await kernel.writeFileAsync("/dev/null", "x");
}
