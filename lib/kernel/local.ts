import { KernelError } from "./errno.ts";
import type { Kernel } from "./kernel.ts";
import { LibcKernel } from "./libc.ts";
import { traced } from "./trace.ts";

let kernel: Kernel | undefined;

/**
 * The system this process runs on, made at the first call. With
 * `PASSTHRU_TRACE=1` in the environment every call is printed to standard
 * error.
 */
export function localKernel(): Kernel {
  if (kernel !== undefined) return kernel;
  const libc = new LibcKernel();
  return kernel = traceWanted(libc) ? traced(libc) : libc;
}

// Asked of procfs, because the environment as Deno gives it needs a permission
// of its own.
function traceWanted(libc: Kernel): boolean {
  try {
    return libc.readFile("/proc/self/environ").split("\0")
      .includes("PASSTHRU_TRACE=1");
  } catch (error) {
    // Root's alone in a process that was given capabilities or another user's
    // id, and not there without procfs.
    if (error instanceof KernelError) return false;
    throw error;
  }
}
