/**
 * Memory of this process that devices can be given.
 *
 * @module
 */

import { ignoreErrors } from "../../backends/teardown.ts";
import { toVfioError, VfioError } from "../errors.ts";
import { hasErrno } from "../kernel/errno.ts";
import { Fd } from "../kernel/fd.ts";
import type { Kernel, Mapping } from "../kernel/kernel.ts";
import { MFD_HUGETLB } from "../uapi/linux/memfd.ts";
import {
  MADV_DONTFORK,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_HUGE_1GB,
  MAP_HUGE_2MB,
  MAP_HUGETLB,
  MAP_POPULATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../uapi/linux/mman.ts";
import type { MapOptions } from "./mapping.ts";

/** The size of a huge page. */
export type HugePageSize = "2M" | "1G";

/** The sizes of huge pages in bytes, and what `mmap` calls them. */
const HUGE_PAGES: Readonly<
  Record<HugePageSize, { readonly size: number; readonly flag: number }>
> = {
  "2M": { size: 2 ** 21, flag: MAP_HUGE_2MB },
  "1G": { size: 2 ** 30, flag: MAP_HUGE_1GB },
};

/** The largest memory that is contiguous in physical memory for sure. */
const LARGEST = HUGE_PAGES["1G"].size;

/** How DMA memory is allocated, and where it is mapped. */
export interface AllocateOptions extends MapOptions {
  /** Takes it from the host's pool of huge pages of this size. */
  readonly hugepages?: HugePageSize;
  /**
   * Asks for transparent huge pages, where the host has them
   * (`/sys/kernel/mm/transparent_hugepage/shmem_enabled`): fewer entries in the
   * IOMMU's page tables, and a faster map. The memory is aligned for them.
   *
   * @default {false}
   */
  readonly transparentHugePages?: boolean;
  /** The NUMA node that it is taken from: that of the device, best. */
  readonly numaNode?: number;
  /**
   * Makes it a file in memory: {@linkcode DmaMemory.fd}. Another process can
   * map that, and where the kernel maps files for devices (iommufd since Linux
   * 6.13), the mapping survives this process's own.
   *
   * @default {false}
   */
  readonly memfd?: boolean;
}

/** Memory of this process, and the file that it is of. */
export interface HostMemory {
  /** Where it is. */
  readonly mapping: Mapping;
  /** Its file, where it is one's. */
  readonly fd: Fd | undefined;
}

/**
 * Maps memory for DMA into this process, whole pages of zeros.
 *
 * It is shared memory: after a fork, private memory would be copied at the next
 * write, and the device would go on with the old pages.
 *
 * @param kernel The system.
 * @param bytes How many bytes at least.
 * @param options Which memory.
 * @param extraFlags More of `MAP_*`.
 */
export function mapMemory(
  kernel: Kernel,
  bytes: number,
  options: AllocateOptions,
  extraFlags = 0,
): HostMemory {
  const { hugepages, numaNode, transparentHugePages = false } = options;
  assertAllocation(kernel, bytes, options);
  const huge = hugepages === undefined ? undefined : HUGE_PAGES[hugepages];
  const page = huge?.size ?? kernel.pageSize;
  const length = Math.ceil(bytes / page) * page;
  const alignment = Math.max(
    options.alignment ?? 0,
    transparentHugePages ? HUGE_PAGES["2M"].size : 0,
  );
  try {
    using stack = new DisposableStack();
    const fd = options.memfd === true
      ? stack.use(memoryFile(kernel, length, huge?.flag))
      : undefined;
    const source = fd === undefined
      ? MAP_ANONYMOUS | (huge === undefined ? 0 : MAP_HUGETLB | huge.flag)
      : 0;
    const mapping = kernel.mmap(
      length,
      PROT_READ | PROT_WRITE,
      MAP_SHARED | source | extraFlags,
      fd?.number ?? -1,
      0n,
      ...alignment > 0 ? [alignment] as const : [],
    );
    stack.defer(() => kernel.munmap(mapping));
    if (numaNode !== undefined) bindTo(kernel, mapping, numaNode);
    if (transparentHugePages) adviseHuge(kernel, mapping);
    stack.move();
    return { mapping, fd };
  } catch (error) {
    throw allocationRefused(length, hugepages, error);
  }
}

function assertAllocation(
  { pageSize }: Kernel,
  bytes: number,
  { hugepages, alignment = pageSize }: AllocateOptions,
): void {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new RangeError(
      `Cannot allocate ${bytes} bytes: expected a positive whole number`,
    );
  }
  if (hugepages !== undefined && !Object.hasOwn(HUGE_PAGES, hugepages)) {
    throw new TypeError(
      `Cannot allocate huge pages of ${JSON.stringify(hugepages)}: expected ` +
        Object.keys(HUGE_PAGES).join(" or "),
    );
  }
  if (alignment >= pageSize && Number.isInteger(Math.log2(alignment))) return;
  throw new RangeError(
    `Cannot align to ${alignment} bytes: expected a power of two, and at ` +
      `least ${pageSize}`,
  );
}

/** A file in memory, as long as is asked for. */
function memoryFile(kernel: Kernel, length: number, huge?: number): Fd {
  const flags = huge === undefined ? 0 : MFD_HUGETLB | huge;
  using stack = new DisposableStack();
  const fd = stack.use(Fd.adopt(kernel, kernel.memfd("passthru-dma", flags)));
  kernel.ftruncate(fd.number, BigInt(length));
  stack.move();
  return fd;
}

function bindTo(kernel: Kernel, mapping: Mapping, node: number): void {
  if (!Number.isInteger(node) || node < 0 || node >= 1024) {
    throw new RangeError(`There is no NUMA node ${node}`);
  }
  try {
    kernel.mbind(mapping.address, mapping.length, node);
  } catch (error) {
    if (!hasErrno(error, "EINVAL", "ENOSYS")) throw error;
    throw new VfioError("NOT_SUPPORTED", {
      problem: `the host has no memory on a NUMA node ${node}`,
      hint: "look which it has: /sys/devices/system/node/has_memory",
      cause: error,
    });
  }
}

function adviseHuge(kernel: Kernel, { address, length }: Mapping): void {
  try {
    kernel.madvise(address, length, MADV_HUGEPAGE);
  } catch (error) {
    // A kernel without CONFIG_TRANSPARENT_HUGEPAGE.
    if (!hasErrno(error, "EINVAL")) throw error;
  }
}

function allocationRefused(
  length: number,
  hugepages: HugePageSize | undefined,
  cause: unknown,
): unknown {
  if (!hasErrno(cause, "ENOMEM", "EINVAL")) {
    return toVfioError(cause, `allocate ${length} bytes`);
  }
  return hugepages === undefined
    ? new VfioError("NO_MEMORY", {
      problem: `the system has no ${length} bytes of memory free`,
      cause,
    })
    : new VfioError("NO_MEMORY", {
      problem: `the pool of ${hugepages} huge pages has no ${length} bytes ` +
        "left",
      hint: `reserve more: echo N > /sys/kernel/mm/hugepages/hugepages-` +
        `${HUGE_PAGES[hugepages].size / 1024}kB/nr_hugepages`,
      cause,
    });
}

/**
 * Maps memory that stays where it is in physical memory: huge pages, which the
 * kernel neither swaps nor moves by itself, all of them there from the start.
 *
 * @param kernel The system.
 * @param bytes How many bytes at least.
 * @param options Which memory. It is taken from the pool of the pages of which
 * one is enough, unless that says another.
 */
export function mapImmovable(
  kernel: Kernel,
  bytes: number,
  options: AllocateOptions,
): HostMemory {
  const { hugepages } = options;
  if (hugepages === undefined && bytes > LARGEST) {
    throw new RangeError(
      `Cannot allocate ${bytes} contiguous bytes: the largest page has ` +
        `${LARGEST}; with hugepages there can be several`,
    );
  }
  const pool = hugepages ?? (bytes > HUGE_PAGES["2M"].size ? "1G" : "2M");
  const memory = mapMemory(
    kernel,
    bytes,
    { ...options, hugepages: pool },
    MAP_POPULATE,
  );
  const { address, length } = memory.mapping;
  try {
    kernel.madvise(address, length, MADV_DONTFORK);
    return memory;
  } catch (error) {
    unmapMemory(kernel, memory);
    throw toVfioError(error, `allocate ${length} bytes`);
  }
}

/** Frees what {@linkcode mapMemory} returned. */
export function unmapMemory(
  kernel: Kernel,
  { mapping, fd }: HostMemory,
): void {
  try {
    kernel.munmap(mapping);
  } catch (error) {
    throw toVfioError(error, `free ${mapping.length} bytes`);
  }
  ignoreErrors(() => fd?.close());
}
