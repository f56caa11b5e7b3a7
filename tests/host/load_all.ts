import { assertGreater, assertThrows } from "@std/assert";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { io } from "../../lib/uapi/ioctl.ts";

/**
 * Makes a kernel load all that it uses of libc. That stays loaded, which would
 * look like a leak in a test.
 */
export async function loadAll(kernel: Kernel): Promise<void> {
  assertGreater(kernel.pageSize, 0);
  kernel.stat("/");
  kernel.readlink("/proc/self");
  kernel.writeFile("/dev/null", "x");
  assertThrows(() => kernel.madvise(1n, 1, 0));
  assertThrows(() => kernel.ioctl(-1, io("NONE", 0, 0, "value")));
  assertThrows(() => kernel.pread(-1, new Uint8Array(1), 0n));
  assertThrows(() => kernel.ftruncate(-1, 0n));
  kernel.close(kernel.eventfd(0, 0));
  assertThrows(() => kernel.fsync(-1));
  assertThrows(() => kernel.socket(-1, 0, 0));
  assertThrows(() => kernel.fcntl(-1, 0));
  await kernel.pollAsync([], 0);
  const event = kernel.eventfd(0, 0);
  await kernel.watch(event).return!();
  kernel.close(event);
  await kernel.writeFileAsync("/dev/null", "x");
  await kernel.runAsync("/bin/true", []);
}
