import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import {
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
  VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN,
} from "../../lib/uapi/vfio/cdev.ts";
import type { AttachOptions, AttachTarget } from "../backend.ts";
import {
  deviceBusy,
  groupHasOwner,
  groupNotViable,
  keptMapped,
  needlessToken,
  unsafeInterrupts,
  wrongToken,
} from "../explain.ts";
import { whileLocked } from "../locked.ts";
import { rawIoMissing } from "../no_iommu/permission.ts";
import type { AttachedDevice } from "./attached_device.ts";
import { notBound, recall, remember } from "./bound.ts";
import type { SpaceIoas } from "./space_ioas.ts";

/**
 * Binds a device to the iommufd, unless it is; closing the device undoes it.
 *
 * @returns The device's id there.
 */
export async function bind(
  target: AttachTarget,
  fd: Fd,
  ioas: SpaceIoas,
  { vfToken }: AttachOptions,
): Promise<number> {
  if (target.nodes.deviceId !== undefined) return target.nodes.deviceId;
  const token = vfToken === undefined ? undefined : uuidBytes(vfToken);
  const argument = vfio_device_bind_iommufd.alloc({
    iommufd: ioas.iommufd.number,
    ...token === undefined
      ? { argsz: VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN }
      : {
        flags: VFIO_DEVICE_BIND_FLAG_TOKEN,
        token_uuid_ptr: target.device.host.kernel.addressOf(token),
      },
  });
  try {
    await whileLocked(
      target.device.name,
      "attach",
      () => fd.ioctlAsync(VFIO_DEVICE_BIND_IOMMUFD, argument),
      "EAGAIN",
    );
    const { out_devid } = vfio_device_bind_iommufd.decode(argument);
    remember(target, out_devid);
    return out_devid;
  } catch (error) {
    const deviceId = hasErrno(error, "EINVAL") ? recall(target) : undefined;
    if (deviceId === undefined) throw error;
    return deviceId;
  } finally {
    // The kernel has the buffer's address: this keeps the buffer alive until
    // here.
    token?.fill(0);
  }
}

function uuidBytes(uuid: string): Uint8Array {
  return Uint8Array.fromHex(uuid.replaceAll("-", ""));
}

/** Explains why a device could not be bound. */
export function bindRefused(
  target: AttachTarget,
  { vfToken }: AttachOptions,
  cause: unknown,
): unknown {
  // The kernel answers EINVAL where this backend has the device open already,
  // and where the firmware keeps memory mapped; EPERM where a host driver or
  // another iommufd owns the group, and where interrupts are not remapped
  // (`iommufd_device_bind()` in `drivers/iommu/iommufd/device.c`).
  const direct = hasErrno(cause, "EINVAL") && keptMapped(target, cause);
  if (direct) return direct;
  // Before Linux 6.17 it also answers EINVAL to any flag, the token's too.
  if (
    hasErrno(cause, "EINVAL") && vfToken !== undefined && !groupHasOwner(target)
  ) return needlessToken(target, cause) ?? noTokens(target, cause);
  const owned = hasErrno(cause, "EBUSY", "EINVAL") ||
    hasErrno(cause, "EPERM") && groupHasOwner(target);
  return owned ? groupNotViable(target, cause) : attachRefused(target, cause);
}

/** Explains why a device could not be attached to an address space. */
export function attachRefused(target: AttachTarget, cause: unknown): unknown {
  if (target.noIommu && hasErrno(cause, "EPERM")) {
    return rawIoMissing(cause, target.device.name);
  }
  if (hasErrno(cause, "EPERM")) {
    return unsafeInterrupts(target, "iommufd", cause);
  }
  if (hasErrno(cause, "EACCES")) return wrongToken(target, cause);
  if (hasErrno(cause, "EBUSY")) return deviceBusy(target, cause);
  // The kernel does not look for the memory of an IOAS before a device is
  // attached.
  if (hasErrno(cause, "EFAULT")) return memoryGone(target, cause);
  if (hasErrno(cause, "EINVAL") && target.nodes.deviceId !== undefined) {
    return notBound(target, cause);
  }
  if (!hasErrno(cause, "EADDRINUSE")) return cause;
  return new VfioError("IOVA_OUT_OF_RANGE", {
    device: target.device.name,
    problem: "the address space has something mapped where this device has " +
      "a reserved window",
    hint: "attach the device first, then map; or map elsewhere",
    cause,
  });
}

/**
 * Explains why a device could not be attached to a page table, or because of
 * one: the devices of a group share theirs (`iommufd_hw_pagetable_attach()`).
 *
 * @param device The device, and the page table that was asked for.
 * @param other A device of its group that is attached to another one.
 */
export function tableRefused(
  { name, table }: Pick<AttachedDevice, "name" | "table">,
  other: string | undefined,
  cause: unknown,
): VfioError | undefined {
  if (other !== undefined) {
    return new VfioError("NOT_SUPPORTED", {
      device: name,
      problem: `${other} of its group is attached to another page table, and ` +
        "a group has one",
      hint:
        "attach both to the same: move that one first, or attach this one " +
        "with { pageTable }",
      cause,
    });
  }
  return table && new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: `its IOMMU cannot use ${table.name}`,
    hint: "attach it without a page table, then make one for it: Hwpt.attach()",
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

function noTokens({ device, nodes }: AttachTarget, cause: unknown): VfioError {
  return new VfioError("BACKEND_UNAVAILABLE", {
    device: device.name,
    problem: "this kernel's iommufd takes no VF token",
    hint: nodes.group === undefined
      ? "take a kernel with CONFIG_VFIO_GROUP, or Linux 6.17 or later"
      : 'attach it to a space of its own, with the backend "legacy"',
    cause,
  });
}
