import type { Kernel } from "../../kernel/kernel.ts";

/** How much memory this process may lock, in bytes. */
export interface MemoryLock {
  /** RLIMIT_MEMLOCK; `undefined` where no limit applies to this process. */
  readonly limit: bigint | undefined;
  /** Bytes locked by this process, DMA mappings included. */
  readonly locked: bigint;
}

/** `include/uapi/linux/capability.h`. */
const CAP_IPC_LOCK = 14n;

/** The limit, and locked memory by the backend that counts it. */
export interface LockedMemory {
  /** {@linkcode MemoryLock.limit}. */
  readonly limit: bigint | undefined;
  /** Bytes that the container, or `mlock`, has locked for this process. */
  readonly byContainer: bigint;
  /** Bytes that iommufd has pinned for this process. */
  readonly byIommufd: bigint;
}

/** Reads the limit on locked memory, and what is used of it. */
export function memoryLock(kernel: Kernel): MemoryLock {
  const { limit, byContainer, byIommufd } = lockedMemory(kernel);
  return { limit, locked: byContainer + byIommufd };
}

/**
 * Reads the limit on locked memory, and how much is locked. A process with
 * CAP_IPC_LOCK has no limit. The container counts what this process has locked
 * (`account_locked_vm()`, `VmLck`). iommufd counts what all processes of the
 * user have pinned (`incr_user_locked_vm()`); `VmPin` is the part of this
 * process.
 */
export function lockedMemory(kernel: Kernel): LockedMemory {
  const status = kernel.readFile("/proc/self/status");
  const locked = {
    byContainer: kilobytes(status, "VmLck"),
    byIommufd: kilobytes(status, "VmPin"),
  };
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? 0}`);
  if (effective >> CAP_IPC_LOCK & 1n) return { limit: undefined, ...locked };
  const limits = kernel.readFile("/proc/self/limits");
  const soft = /^Max locked memory\s+(\d+)/m.exec(limits)?.[1];
  const limit = soft === undefined ? undefined : BigInt(soft);
  return { limit, ...locked };
}

function kilobytes(status: string, name: string): bigint {
  const value = new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(status)?.[1];
  return BigInt(value ?? 0) * 1024n;
}
