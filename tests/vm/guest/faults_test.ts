/**
 * Every call that attaching or detaching makes of the kernel, failing in turn:
 * what was acquired is released, the error says what happened, and the next
 * attempt succeeds.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  type AddressSpace,
  Host,
  KernelError,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import { memoryLock } from "../../../lib/host/memory_lock.ts";
import { faulty } from "../../../lib/kernel/fault.ts";
import { forEachBackend, host, type Setup } from "./setup.ts";

const CODES = [
  "EACCES",
  "EBUSY",
  "EINVAL",
  "EIO",
  "EMFILE",
  "ENODEV",
  "ENOENT",
  "ENOMEM",
  "EPERM",
];

/** What this process holds of VFIO: descriptors, registers, pinned memory. */
function held(): unknown {
  const descriptors = [...Deno.readDirSync("/proc/self/fd")]
    .map(({ name }) => name)
    .filter((fd) => {
      try {
        return /vfio|iommu/.test(Deno.readLinkSync(`/proc/self/fd/${fd}`));
      } catch {
        return false; // the one that the directory was read through
      }
    });
  const mapped = Deno.readTextFileSync("/proc/self/maps").match(/.*vfio.*/g);
  return { descriptors, mapped, locked: memoryLock(host.kernel).locked };
}
