import type { LibcKernel } from "../../lib/kernel/libc.ts";

/**
 * Makes a kernel load all it can of libc. What it loads stays loaded: a test in
 * which that happened would seem to leak it.
 */
export async function loadAll(kernel: LibcKernel): Promise<void> {
  kernel.stat("/");
  kernel.close(kernel.eventfd(0, 0));
  await kernel.pollAsync([], 0);
}
