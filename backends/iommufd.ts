/**
 * The iommufd backend: a device's own node, bound to an iommufd and attached
 * to an IO address space (`Documentation/userspace-api/iommufd.rst`).
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import { hasErrno } from "../lib/kernel/errno.ts";
import type { Fd } from "../lib/kernel/fd.ts";
import type { Kernel } from "../lib/kernel/kernel.ts";
import {
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_iova_ranges,
  IOMMU_IOAS_MAP,
  iommu_ioas_map,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
  iommu_iova_range,
} from "../lib/uapi/iommufd/ioas.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
  VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
} from "../lib/uapi/vfio/cdev.ts";
import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  DmaRange,
  IommuContext,
  IommuLimits,
  Mapped,
} from "./backend.ts";
import {
  deviceBusy,
  groupHasOwner,
  groupNotViable,
  keptMapped,
  mappingRefused,
  noMemory,
  openNode,
  quietly,
  unsafeInterrupts,
  wrongToken,
} from "./explain.ts";

/** The node behind which every iommufd is made. */
export const IOMMUFD_NODE = "/dev/iommu";

/** An IOVA space in the kernel, as one IOAS. */
export class IommufdContext implements IommuContext {
  /** Always `"iommufd"`. */
  readonly backend = "iommufd";
  readonly #kernel: Kernel;
  readonly #mapped: Mapped;
  #ioas: Ioas | undefined;
  /** Devices attached, and those on the way. */
  #users = 0;

  /**
   * @param kernel The system that is asked.
   * @param mapped What is mapped in the address space.
   */
  constructor(kernel: Kernel, mapped: Mapped) {
    this.#kernel = kernel;
    this.#mapped = mapped;
  }

  async attach(
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    const ioas = this.#ioas ??= Ioas.open(
      this.#kernel,
      target,
      this.#mapped(),
    );
    this.#users++;
    await using stack = new AsyncDisposableStack();
    stack.defer(() => this.#leave(ioas));
    const fd = openNode(this.#kernel, target, target.nodes.cdev!);
    stack.defer(() => quietly(() => fd.closeAsync()));
    try {
      await bind(target, fd, ioas, options);
    } catch (error) {
      // Before it is asked who else has the device open.
      await quietly(() => fd.closeAsync());
      throw bindRefused(target, error);
    }
    try {
      ioas.attach(fd);
    } catch (error) {
      throw this.#pinRefused(error) ?? attachRefused(target, error);
    }
    stack.defer(() => quietly(() => ioas.detach(fd)));
    const held = stack.move();
    return { fd, detach: () => held.disposeAsync() };
  }

  // An IOAS without a device pins nothing: the first one has all of it pinned.
  #pinRefused(cause: unknown): unknown {
    if (!hasErrno(cause, "ENOMEM") || this.#users > 1) return undefined;
    const size = [...this.#mapped()]
      .reduce((sum, range) => sum + range.size, 0n);
    if (size === 0n) return undefined;
    return noMemory(this.#kernel, "iommufd", size, cause);
  }

  #leave(ioas: Ioas): void {
    if (--this.#users > 0) return;
    this.#ioas = undefined;
    ioas.close();
  }

  map(range: DmaRange): void {
    this.#ioas?.map(range);
  }

  unmap(range: DmaRange): void {
    this.#ioas?.unmap(range);
  }

  limits(): IommuLimits {
    return this.#ioas!.limits();
  }
}

/** An IO address space, and the iommufd that it lives in. */
class Ioas {
  readonly #kernel: Kernel;
  readonly #fd: Fd;
  readonly #id: number;
  readonly #map: Uint8Array<ArrayBuffer>;
  readonly #mapView: DataView;
  readonly #unmap: Uint8Array<ArrayBuffer>;
  readonly #unmapView: DataView;

  private constructor(kernel: Kernel, fd: Fd, id: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#id = id;
    this.#map = iommu_ioas_map.alloc({ ioas_id: id });
    this.#mapView = new DataView(this.#map.buffer);
    this.#unmap = iommu_ioas_unmap.alloc({ ioas_id: id });
    this.#unmapView = new DataView(this.#unmap.buffer);
  }

  /** Makes an address space with everything mapped. */
  static open(
    kernel: Kernel,
    target: AttachTarget,
    mapped: Iterable<DmaRange>,
  ): Ioas {
    using stack = new DisposableStack();
    const fd = stack.use(openNode(kernel, target, IOMMUFD_NODE));
    const argument = iommu_ioas_alloc.alloc();
    fd.ioctl(IOMMU_IOAS_ALLOC, argument);
    const { out_ioas_id } = iommu_ioas_alloc.decode(argument);
    const ioas = new Ioas(kernel, fd, out_ioas_id);
    for (const range of mapped) ioas.map(range);
    stack.move();
    return ioas;
  }

  /** The iommufd's number, by which devices are bound to it. */
  get iommufd(): number {
    return this.#fd.number;
  }

  /** Closes the iommufd, and with it everything that lives in it. */
  close(): void {
    quietly(() => this.#fd.close());
  }

  attach(fd: Fd): void {
    const argument = vfio_device_attach_iommufd_pt.alloc({
      argsz: VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
      pt_id: this.#id,
    });
    fd.ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, argument);
  }

  detach(fd: Fd): void {
    const argument = vfio_device_detach_iommufd_pt.alloc({
      argsz: VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
    });
    fd.ioctl(VFIO_DEVICE_DETACH_IOMMUFD_PT, argument);
  }

  map(range: DmaRange): void {
    const { iova, address, size, writable } = range;
    const { offset } = iommu_ioas_map;
    const flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
      (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0);
    this.#mapView.setUint32(offset.flags, flags, true);
    this.#mapView.setBigUint64(offset.user_va, address, true);
    this.#mapView.setBigUint64(offset.length, size, true);
    this.#mapView.setBigUint64(offset.iova, iova, true);
    try {
      this.#fd.ioctl(IOMMU_IOAS_MAP, this.#map);
    } catch (error) {
      throw mappingRefused(this.#kernel, "iommufd", range, error);
    }
  }

  unmap({ iova, size }: DmaRange): void {
    const { offset } = iommu_ioas_unmap;
    this.#unmapView.setBigUint64(offset.iova, iova, true);
    this.#unmapView.setBigUint64(offset.length, size, true);
    this.#fd.ioctl(IOMMU_IOAS_UNMAP, this.#unmap);
  }

  limits(): IommuLimits {
    // Reserved windows are few; the kernel says how many ranges they leave
    // where these are too few.
    for (let count = 16;;) {
      const ranges = new Uint8Array(count * iommu_iova_range.size);
      const argument = iommu_ioas_iova_ranges.alloc({
        ioas_id: this.#id,
        num_iovas: count,
        allowed_iovas: this.#kernel.addressOf(ranges),
      });
      try {
        this.#fd.ioctl(IOMMU_IOAS_IOVA_RANGES, argument);
      } catch (error) {
        const { num_iovas } = iommu_ioas_iova_ranges.decode(argument);
        if (!hasErrno(error, "EMSGSIZE") || num_iovas <= count) throw error;
        count = num_iovas;
        continue;
      }
      const { num_iovas, out_iova_alignment } = iommu_ioas_iova_ranges
        .decode(argument);
      return {
        ranges: iommu_iova_range.decodeArray(ranges, num_iovas),
        alignment: out_iova_alignment,
        mappingsAvailable: undefined,
      };
    }
  }
}

/** Binds a device to the iommufd; closing the device undoes it. */
async function bind(
  target: AttachTarget,
  fd: Fd,
  ioas: Ioas,
  { vfToken }: AttachOptions,
): Promise<void> {
  const token = vfToken === undefined ? undefined : uuidBytes(vfToken);
  const argument = vfio_device_bind_iommufd.alloc({
    iommufd: ioas.iommufd,
    ...token === undefined
      ? { argsz: VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN }
      : {
        flags: VFIO_DEVICE_BIND_FLAG_TOKEN,
        token_uuid_ptr: target.device.host.kernel.addressOf(token),
      },
  });
  try {
    await fd.ioctlAsync(VFIO_DEVICE_BIND_IOMMUFD, argument);
  } finally {
    // Keeps the buffer, whose address the kernel has, until here.
    token?.fill(0);
  }
}

function uuidBytes(uuid: string): Uint8Array {
  return Uint8Array.fromHex(uuid.replaceAll("-", ""));
}

function bindRefused(target: AttachTarget, cause: unknown): unknown {
  // EINVAL is the answer where the device is open by this backend already,
  // EPERM where a host driver or another iommufd owns the group, and also where
  // interrupts are not remapped (`iommufd_device_bind()` in
  // `drivers/iommu/iommufd/device.c`). EINVAL is the answer too where the
  // firmware keeps memory mapped.
  const direct = hasErrno(cause, "EINVAL") && keptMapped(target, cause);
  if (direct) return direct;
  const owned = hasErrno(cause, "EBUSY", "EINVAL") ||
    hasErrno(cause, "EPERM") && groupHasOwner(target);
  return owned ? groupNotViable(target, cause) : attachRefused(target, cause);
}

function attachRefused(target: AttachTarget, cause: unknown): unknown {
  if (hasErrno(cause, "EPERM")) return unsafeInterrupts(target, cause);
  if (hasErrno(cause, "EACCES")) return wrongToken(target, cause);
  if (hasErrno(cause, "EBUSY")) return deviceBusy(target, cause);
  // Until a device is attached, an IOAS does not look for its memory.
  if (hasErrno(cause, "EFAULT")) return memoryGone(target, cause);
  if (!hasErrno(cause, "EADDRINUSE")) return cause;
  return new VfioError("IOVA_OUT_OF_RANGE", {
    device: target.device.name,
    problem: "the address space has something mapped where this device has " +
      "a reserved window",
    hint: "attach the device first, then map; or map elsewhere",
    cause,
  });
}

function memoryGone({ device }: AttachTarget, cause: unknown): VfioError {
  return new VfioError("NO_MEMORY", {
    device: device.name,
    problem: "memory that is mapped in the address space is not there any more",
    hint: "unmap it in every address space before it is freed",
    cause,
  });
}
