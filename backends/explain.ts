/**
 * Turns the kernel's errno into an error that says what to do, for both
 * backends.
 *
 * @module
 */

import { hex } from "../lib/hex.ts";
import { iovaOf } from "../lib/uapi/layout.ts";
import { VfioError } from "../lib/errors.ts";
import { explainDirectMapping } from "../lib/host/iommu/direct_mapping.ts";
import { lockedMemory } from "../lib/host/iommu/memory_lock.ts";
import { isVfioDriver } from "../lib/host/driver/vfio_driver.ts";
import { nodePaths } from "../lib/host/iommu/nodes.ts";
import {
  explainUnsafeInterrupts,
  type RefusingModule,
} from "../lib/host/iommu/remapping.ts";
import { type Opener, openers, openersText } from "../lib/host/openers.ts";
import { exists, linkTarget } from "../lib/host/sysfs.ts";
import { hasErrno } from "../lib/kernel/errno.ts";
import { Fd } from "../lib/kernel/fd.ts";
import type { Kernel } from "../lib/kernel/kernel.ts";
import { F_DUPFD_CLOEXEC, O_RDWR } from "../lib/uapi/linux/fcntl.ts";
import { rawIoMissing } from "./no_iommu/permission.ts";
import { mappingLimit } from "./mapping_limit.ts";
import type { AttachTarget, BackendName, DmaRange, Node } from "./backend.ts";

/**
 * Opens a device node on behalf of a device. Of a descriptor that was passed in
 * it takes another, so that the caller's stays open.
 */
export function openNode(
  kernel: Kernel,
  target: AttachTarget,
  node: Node,
): Fd {
  try {
    return typeof node === "string"
      ? Fd.open(kernel, node, O_RDWR)
      : Fd.adopt(kernel, kernel.fcntl(node, F_DUPFD_CLOEXEC));
  } catch (error) {
    throw nodeRefused(target, node, error);
  }
}

/** Explains why a node could not be opened, or refused the device. */
export function nodeRefused(
  target: AttachTarget,
  node: Node,
  cause: unknown,
): unknown {
  const device = target.device.name;
  const name = nodeName(node);
  if (hasErrno(cause, "ENOENT", "ENODEV", "ENXIO")) {
    return new VfioError("BACKEND_UNAVAILABLE", {
      device,
      problem: `${name} does not answer`,
      hint:
        "load its module (modprobe vfio-pci), and make the node visible in " +
        "this mount namespace",
      cause,
    });
  }
  if (target.noIommu && hasErrno(cause, "EPERM")) {
    return rawIoMissing(cause, device);
  }
  if (hasErrno(cause, "EACCES", "EPERM")) {
    return new VfioError("PERMISSION_DENIED", {
      device,
      problem: `this user may not open ${name}`,
      hint: `give it the node, with a udev rule or chown; or run as root`,
      cause,
    });
  }
  return hasErrno(cause, "EBUSY") ? deviceBusy(target, cause) : cause;
}

/** What an error calls a node. */
export function nodeName(node: Node): string {
  return typeof node === "string" ? node : `descriptor ${node}`;
}

/**
 * The error for a device that is open elsewhere, or whose group is: it names
 * the processes.
 */
export function deviceBusy(target: AttachTarget, cause: unknown): VfioError {
  const { device } = target;
  const found = groupOpeners(target);
  return new VfioError("DEVICE_BUSY", {
    device: device.name,
    problem: found.length === 0
      ? "the device or its IOMMU group is in use elsewhere"
      : `the device or its IOMMU group is open in ${openersText(found)}`,
    hint: found.length === 0
      ? "end the process that uses it; root can see which one"
      : "detach the device there, or end that process",
    cause,
  });
}

// An open device of the group, by either backend, keeps all other users out.
function groupOpeners({ device, group }: AttachTarget): Opener[] {
  return openers(device.host.kernel, nodePaths(group.devices));
}

/** Whether a host driver or a process visibly has the group. */
export function groupHasOwner(target: AttachTarget): boolean {
  return !target.group.viability().viable || groupOpeners(target).length > 0;
}

/**
 * The error for a group with functions on host drivers: it names each, and says
 * what to do.
 */
export function groupNotViable(
  target: AttachTarget,
  cause?: unknown,
): VfioError {
  const { device, group } = target;
  const viability = group.viability();
  // No driver is in the way, so a process has the group open.
  if (viability.viable) return deviceBusy(target, cause);
  const { obstacles } = viability;
  const named = obstacles.map(({ device, driver }) =>
    `${device.name} is bound to ${driver}`
  );
  return new VfioError("GROUP_NOT_VIABLE", {
    device: device.name,
    problem: `its IOMMU group ${group.id} is not viable: ${named.join(", ")}`,
    hint: obstacles.map(({ remedy }) => remedy).join("; "),
    cause,
  });
}

/**
 * The error for memory that the firmware keeps mapped for the group, if there
 * is any.
 */
export function keptMapped(
  { device, group }: AttachTarget,
  cause?: unknown,
): VfioError | undefined {
  const direct = explainDirectMapping(group);
  return direct &&
    new VfioError("NOT_SUPPORTED", { device: device.name, ...direct, cause });
}

/** The error where nothing tells the interrupts of devices apart. */
export function unsafeInterrupts(
  target: AttachTarget,
  module: RefusingModule,
  cause: unknown,
): VfioError {
  // Before Linux 6.6 the kernel answers the same to memory that stays mapped.
  const direct = keptMapped(target, cause);
  if (direct !== undefined) return direct;
  const { device } = target;
  const { problem, hint } = explainUnsafeInterrupts(
    device.host.kernel,
    [module],
  );
  return new VfioError("PERMISSION_DENIED", {
    device: device.name,
    problem: `${problem}, so that it could forge any of the host's, and ` +
      `${module} refuses it`,
    hint,
    cause,
  });
}

/** The error for a virtual function whose token was not given. */
export function wrongToken(
  { device }: AttachTarget,
  cause: unknown,
): VfioError {
  return new VfioError("PERMISSION_DENIED", {
    device: device.name,
    problem: "its physical function is on a VFIO driver, which requires the " +
      "token that was set there",
    hint: "pass the token: VfioDevice.attach(device, space, { vfToken })",
    cause,
  });
}

/**
 * The error for a token that was given where the kernel wants none: it takes one
 * for a physical function, and for a virtual one whose physical function a VFIO
 * driver has (`vfio_pci_validate_vf_token()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @returns The error, or `undefined` where a token is in place.
 */
export function needlessToken(
  { device }: AttachTarget,
  cause: unknown,
): VfioError | undefined {
  const { kernel } = device.host;
  const physical = linkTarget(kernel, `${device.path}/physfn`);
  const holder = physical === undefined
    ? undefined
    : device.host.deviceAt(physical)?.driver;
  if (holder !== undefined && isVfioDriver(holder)) return undefined;
  if (exists(kernel, `${device.path}/sriov_totalvfs`)) return undefined;
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: "the kernel wants no VF token for it" +
      (physical === undefined
        ? ", as it is no virtual function"
        : ", as no VFIO driver has its physical function"),
    hint: "leave vfToken out",
    cause,
  });
}

/** Explains why the kernel refused a mapping. */
export function mappingRefused(
  kernel: Kernel,
  backend: BackendName,
  { page, bytes }: DmaRange,
  cause: unknown,
): unknown {
  const range = `${bytes} bytes at IOVA ${hex(iovaOf(page))}`;
  if (hasErrno(cause, "ENOMEM")) {
    return noMemory(kernel, backend, BigInt(bytes), cause);
  }
  if (hasErrno(cause, "ENOSPC")) return mappingLimit(range, cause);
  if (hasErrno(cause, "EFAULT")) {
    return new VfioError("NO_MEMORY", {
      problem: `cannot map ${range}: the memory behind it is not there`,
      hint: "map memory of this process that is readable and writable",
      cause,
    });
  }
  if (hasErrno(cause, "EINVAL", "EADDRINUSE")) {
    return new VfioError("IOVA_OUT_OF_RANGE", {
      problem: `cannot map ${range}: the IOMMU cannot translate it`,
      hint: "take an IOVA inside space.limits().ranges, or let the space " +
        "choose one once a device is attached",
      cause,
    });
  }
  return cause;
}

/** The error for a lack of memory, or of the right to lock it. */
export function noMemory(
  kernel: Kernel,
  backend: BackendName,
  size: bigint,
  cause: unknown,
): VfioError {
  const { limit, byContainer, byIommufd } = lockedMemory(kernel);
  const need = size + (backend === "iommufd" ? byIommufd : byContainer);
  if (limit === undefined || (backend === "legacy" && need <= limit)) {
    return new VfioError("NO_MEMORY", {
      problem: `the kernel has no memory to map ${size} bytes`,
      cause,
    });
  }
  return new VfioError("MEMLOCK_LIMIT", {
    problem: `mapping ${size} bytes needs ${need} bytes of locked memory, ` +
      (need > limit
        ? `and the limit is ${limit}`
        : `and the limit of ${limit} is one for all processes of this user`),
    hint: "raise the limit: ulimit -l, LimitMEMLOCK= in the systemd unit, " +
      "--ulimit memlock=-1:-1 of the container, or memlock in " +
      "/etc/security/limits.conf",
    cause,
  });
}
