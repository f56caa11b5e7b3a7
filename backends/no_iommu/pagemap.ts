/**
 * Where memory of this process lies in physical memory
 * (`Documentation/admin-guide/mm/pagemap.rst`).
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { O_RDONLY } from "../../lib/uapi/linux/fcntl.ts";
import { PM_PFRAME_BITS, PM_PRESENT } from "../../lib/uapi/linux/pagemap.ts";
import type { DmaRange, PhysicalRange } from "../backend.ts";

const PAGEMAP = "/proc/self/pagemap";

/** Bytes of an entry, one a page of memory. */
const ENTRY = 8;

/** How many entries are read at once. */
const ENTRIES = 512;

/**
 * Looks up where memory lies.
 *
 * @param kernel The system that is asked.
 * @param range The memory, which stays where it is.
 * @param offset Where the answer begins in it, in bytes.
 * @throws {VfioError} `PERMISSION_DENIED` without CAP_SYS_ADMIN, since the
 * kernel then shows 0 for every address; `NO_MEMORY` if it is not there.
 */
export function readPagemap(
  kernel: Kernel,
  { address, bytes }: DmaRange,
  offset: number,
): PhysicalRange {
  using fd = open(kernel);
  const { pageSize } = kernel;
  const size = BigInt(pageSize);
  const start = address + BigInt(offset);
  const within = Number(start % size);
  const pages = Math.ceil((within + bytes - offset) / pageSize);
  const first = start / size;
  let frame: bigint | undefined;
  let count = 0n;
  reading: for (let at = 0; at < pages; at += ENTRIES) {
    const wanted = Math.min(ENTRIES, pages - at);
    for (const entry of read(kernel, fd, first + BigInt(at), wanted)) {
      const next = frameOf(entry);
      frame ??= next;
      if (next !== frame + count) break reading;
      count++;
    }
  }
  return {
    address: frame! * size + BigInt(within),
    length: Math.min(Number(count) * pageSize - within, bytes - offset),
  };
}

function open(kernel: Kernel): Fd {
  try {
    return Fd.open(kernel, PAGEMAP, O_RDONLY);
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) throw hidden(error);
    if (!hasErrno(error, "ENOENT")) throw error;
    throw new VfioError("NOT_SUPPORTED", {
      problem: `the kernel has no ${PAGEMAP}, which tells physical addresses`,
      hint: "take a kernel with CONFIG_PROC_PAGE_MONITOR, and mount procfs",
      cause: error,
    });
  }
}

function read(
  kernel: Kernel,
  fd: Fd,
  page: bigint,
  count: number,
): BigUint64Array {
  const entries = new BigUint64Array(count);
  const bytes = new Uint8Array(entries.buffer);
  if (kernel.pread(fd.number, bytes, page * BigInt(ENTRY)) < bytes.length) {
    throw notThere();
  }
  return entries;
}

function frameOf(entry: bigint): bigint {
  if ((entry & PM_PRESENT) === 0n) throw notThere();
  const frame = entry & PM_PFRAME_BITS;
  // No memory that a process has lies in the first frame.
  if (frame === 0n) throw hidden();
  return frame;
}

function hidden(cause?: unknown): VfioError {
  return new VfioError("PERMISSION_DENIED", {
    problem: "the kernel shows physical addresses only to who has " +
      "CAP_SYS_ADMIN",
    hint: "run as root, or give the process that capability; on Linux 7.3 or " +
      'later the backend "iommufd" needs none but CAP_SYS_RAWIO',
    cause,
  });
}

function notThere(): VfioError {
  return new VfioError("NO_MEMORY", {
    problem: "the DMA memory is not in physical memory",
    hint: "look whether a cgroup limits huge pages",
  });
}
