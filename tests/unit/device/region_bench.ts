/**
 * Region 3 of a device that is in memory.
 */
import { assertEquals } from "@std/assert";
import { type Area, Region } from "../../../lib/device/regions/region.ts";
import { RegisterGate } from "../../../lib/device/regions/register_gate.ts";
import { VfioError } from "../../../lib/errors.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  vfio_info_cap_header,
  vfio_region_info,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_sparse_mmap_area,
} from "../../../lib/uapi/vfio/all.ts";
import { stubKernel } from "../stub_kernel.ts";

export const READ = 1;
export const WRITE = 2;
export const MMAP = 4;
export const CAPS = 8;

/** The offset of the region in the device's file. */
export const START = 3n << 40n;

export interface Options {
  size?: number;
  flags?: number;
  /** The parts that may be mapped, where the kernel restricts them. */
  sparse?: Area[];
  /** Overrides the count of those parts. */
  count?: number;
  kernel?: Partial<Kernel>;
}

/** Region 3 of a device, in memory. */
export function setUp(options: Options = {}) {
  const { size = 65536, flags = READ | WRITE | MMAP } = options;
  const memory = new Uint8Array(Math.min(size, 65536));
  for (let i = 0; i < memory.length; i++) memory[i] = i;
  const accesses: string[] = [];
  const mapped: string[] = [];
  let fd = 7;
  const kernel = stubKernel({
    ioctl(_fd, _operation, argument) {
      describe(argument as Uint8Array, { ...options, size, flags });
      return 0;
    },
    pread(fd, into, offset) {
      accesses.push(`${fd}: read ${into.length} at ${offset - START}`);
      const at = Number(offset - START);
      into.set(memory.subarray(at, at + into.length));
      return into.length;
    },
    pwrite(fd, from, offset) {
      accesses.push(`${fd}: write ${from.length} at ${offset - START}`);
      memory.set(from, Number(offset - START));
      return from.length;
    },
    mmap(length, protection, flags, fd, offset) {
      mapped.push(`${fd}: ${protection} ${flags} ${length} at ${offset}`);
      return { address: 1n, length, buffer: new ArrayBuffer(length) };
    },
    munmap: ({ buffer }) => void buffer.transfer(0),
    ...options.kernel,
  });
  const device = {
    name: "gpu",
    kernel,
    gate: new RegisterGate("gpu", () => undefined),
    hold: () => () => {},
    isPresent: () => true,
    get fd() {
      if (fd < 0) throw new VfioError("DETACHED", { problem: "gone" });
      return fd;
    },
  };
  return {
    region: new Region(device, 3),
    memory,
    accesses,
    mapped,
    detach: () => fd = -1,
  };
}

/** The kernel's answer to VFIO_DEVICE_GET_REGION_INFO. */
export function describe(bytes: Uint8Array, options: Options): void {
  const { index } = vfio_region_info.decode(bytes);
  assertEquals(index, 3);
  const { sparse } = options;
  const values = { index, size: BigInt(options.size!), offset: START };
  if (sparse === undefined) {
    vfio_region_info.encode(bytes, { ...values, flags: options.flags! });
    return;
  }
  // Another capability comes first, so that the chain must be followed.
  const first = vfio_region_info.size;
  const second = first + vfio_info_cap_header.size;
  const areas = second + vfio_region_info_cap_sparse_mmap.size;
  const argsz = areas + sparse.length * vfio_region_sparse_mmap_area.size;
  const fits = bytes.length >= argsz;
  const flags = options.flags! | CAPS;
  const cap_offset = fits ? first : 0;
  vfio_region_info.encode(bytes, { ...values, argsz, flags, cap_offset });
  if (!fits) return;
  const id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE;
  vfio_info_cap_header.encode(bytes, { id, next: second }, first);
  vfio_region_info_cap_sparse_mmap.encode(bytes, {
    header: { id: VFIO_REGION_INFO_CAP_SPARSE_MMAP },
    nr_areas: options.count ?? sparse.length,
  }, second);
  for (const [i, { offset, size }] of sparse.entries()) {
    vfio_region_sparse_mmap_area.encode(
      bytes,
      { offset: BigInt(offset), size: BigInt(size) },
      areas + i * vfio_region_sparse_mmap_area.size,
    );
  }
}
