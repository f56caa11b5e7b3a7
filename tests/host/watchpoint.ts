/**
 * Counts this thread's accesses to an address by a hardware watchpoint of
 * `perf_event_open(2)`.
 *
 * @module
 */
import type { LibcKernel } from "../../lib/kernel/libc.ts";

/** `linux/hw_breakpoint.h`: which accesses are counted. */
export const STORES = 2;
export const LOADS_AND_STORES = 3;

// linux/perf_event.h
const PERF_TYPE_BREAKPOINT = 5;
const PERF_ATTR_SIZE_VER1 = 72;
const EXCLUDE_KERNEL = 1n << 5n;
const EXCLUDE_HYPERVISOR = 1n << 6n;
const SYS_perf_event_open = Deno.build.arch === "x86_64" ? 298n : 241n;

const libc = Deno.dlopen("libc.so.6", {
  syscall: {
    parameters: ["i64", "buffer", "i64", "i64", "i64", "i64"],
    result: "i64",
  },
});

/**
 * Starts to count accesses.
 *
 * @param kernel Reads and closes.
 * @param address The first byte watched.
 * @param length How many bytes: 1, 2, 4 or 8. The address must be a multiple of
 * it.
 * @param accesses {@linkcode STORES} or {@linkcode LOADS_AND_STORES}.
 * @returns The counter, or `undefined` when this process may not have one, or
 * the machine has none.
 */
export function watch(
  kernel: LibcKernel,
  address: bigint,
  length: number,
  accesses: number,
): { count(): number; [Symbol.dispose](): void } | undefined {
  const attributes = new DataView(new ArrayBuffer(PERF_ATTR_SIZE_VER1));
  attributes.setUint32(0, PERF_TYPE_BREAKPOINT, true);
  attributes.setUint32(4, PERF_ATTR_SIZE_VER1, true);
  attributes.setBigUint64(40, EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR, true);
  attributes.setUint32(52, accesses, true);
  attributes.setBigUint64(56, address, true);
  attributes.setBigUint64(64, BigInt(length), true);
  const fd = Number(libc.symbols.syscall(
    SYS_perf_event_open,
    attributes.buffer,
    0n, // this thread
    -1n, // on any processor
    -1n,
    0n,
  ));
  if (fd < 0) return undefined;
  return {
    count() {
      const bytes = new Uint8Array(8);
      kernel.read(fd, bytes);
      return Number(new DataView(bytes.buffer).getBigUint64(0, true));
    },
    [Symbol.dispose]: () => kernel.close(fd),
  };
}
