import type { Kernel } from "../kernel/kernel.ts";

/** How much memory this process may lock, in bytes. */
export interface MemoryLock {
  /** RLIMIT_MEMLOCK; `undefined` where no limit applies to this process. */
  readonly limit: bigint | undefined;
  /** Bytes locked by this process, DMA mappings included. */
  readonly locked: bigint;
}

/** `include/uapi/linux/capability.h`. */
const CAP_IPC_LOCK = 14n;

/**
 * Reads the limit on locked memory, and what is used of it. A process with
 * CAP_IPC_LOCK has none. The container counts in `VmLck`, iommufd in `VmPin`.
 */
export function memoryLock(kernel: Kernel): MemoryLock {
  const status = kernel.readFile("/proc/self/status");
  const locked = kilobytes(status, "VmLck") + kilobytes(status, "VmPin");
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? 0}`);
  if (effective >> CAP_IPC_LOCK & 1n) return { limit: undefined, locked };
  const limits = kernel.readFile("/proc/self/limits");
  const soft = /^Max locked memory\s+(\d+)/m.exec(limits)?.[1];
  return { limit: soft === undefined ? undefined : BigInt(soft), locked };
}

function kilobytes(status: string, name: string): bigint {
  const value = new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(status)?.[1];
  return BigInt(value ?? 0) * 1024n;
}
