/**
 * Which backend a device gets, and why.
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import { exists } from "../lib/host/sysfs.ts";
import { KernelError } from "../lib/kernel/errno.ts";
import { Fd } from "../lib/kernel/fd.ts";
import type { Kernel } from "../lib/kernel/kernel.ts";
import { O_RDWR } from "../lib/uapi/linux/fcntl.ts";
import type {
  AttachTarget,
  BackendName,
  IommuContext,
  Mapped,
  Node,
  SharedIommufd,
} from "./backend.ts";
import { IommufdContext } from "./iommufd/context.ts";
import { IOMMUFD_NODE } from "./iommufd/space_ioas.ts";
import { nodeName } from "./explain.ts";
import { LegacyContext } from "./legacy/context.ts";
import { TYPE1 } from "./legacy/type1.ts";
import { NO_IOMMU } from "./no_iommu/no_iommu.ts";

/** A backend, and the reason for it. */
export interface Selection {
  /** The backend. */
  readonly backend: BackendName;
  /** Why, as a clause: "/dev/iommu does not exist". */
  readonly reason: string;
}

/**
 * Chooses a device's backend: iommufd where `/dev/iommu` and the device's own
 * node both exist and can be opened, else legacy.
 *
 * @param target The device, bound to a VFIO driver.
 * @param wanted The backend that was asked for by name, or `"auto"`.
 * @returns The backend and the reason for it.
 * @throws {VfioError} `BACKEND_UNAVAILABLE` if the host lacks the backend that
 * was asked for, or has neither, for this device.
 */
export function selectBackend(
  target: AttachTarget,
  wanted: BackendName | "auto",
): Selection {
  if (wanted === "iommufd") return namedIommufd(target);
  if (wanted === "legacy") return selectLegacy(target, "asked for");
  const obstacle = iommufdMissing(target) ?? iommufdClosed(target);
  if (obstacle !== undefined) return selectLegacy(target, obstacle);
  const [iommufd, cdev] = iommufdNodes(target).map(nodeName);
  const reason = `${iommufd} and ${cdev} both work`;
  return { backend: "iommufd", reason };
}

/**
 * The backend to try where iommufd, chosen by `"auto"`, turned out not to have
 * what the attach needs.
 *
 * @param target The device.
 * @param wanted The backend that was asked for.
 * @param error What attaching by iommufd failed with.
 */
export function otherBackend(
  target: AttachTarget,
  wanted: BackendName | "auto",
  error: unknown,
): Selection | undefined {
  const lacks = wanted === "auto" && target.nodes.group !== undefined &&
    error instanceof VfioError && error.code === "BACKEND_UNAVAILABLE";
  return lacks ? { backend: "legacy", reason: error.problem } : undefined;
}

// Opening its nodes shows whether that is possible, and gives the full error.
function namedIommufd(target: AttachTarget): Selection {
  const missing = iommufdMissing(target);
  if (missing === undefined) return { backend: "iommufd", reason: "asked for" };
  throw new VfioError("BACKEND_UNAVAILABLE", {
    device: target.device.name,
    problem: `iommufd was asked for, but ${missing}`,
    hint: "take the legacy backend, or a kernel with CONFIG_IOMMUFD and " +
      "CONFIG_VFIO_DEVICE_CDEV",
  });
}

function selectLegacy(target: AttachTarget, reason: string): Selection {
  if (target.nodes.group !== undefined) return { backend: "legacy", reason };
  if (typeof target.nodes.cdev === "number") {
    throw new VfioError("BACKEND_UNAVAILABLE", {
      device: target.device.name,
      problem: `legacy was taken (${reason}), and the descriptor that was ` +
        "passed is the device's own",
      hint: "take the iommufd backend, or pass its group's: { group, device }",
    });
  }
  throw new VfioError("BACKEND_UNAVAILABLE", {
    device: target.device.name,
    problem: `legacy was taken (${reason}), but the kernel has no node for ` +
      `IOMMU group ${target.group.id}`,
    hint: "take the iommufd backend, or a kernel with CONFIG_VFIO_GROUP",
  });
}

/** What iommufd needs for this device and the host lacks. */
function iommufdMissing(
  { device, nodes, noIommu }: AttachTarget,
): string | undefined {
  // Before Linux 7.3.
  if (noIommu && nodes.cdev === undefined) {
    return "without an IOMMU only the container serves the device";
  }
  if (nodes.cdev === undefined && typeof nodes.group === "number") {
    return "the descriptor that was passed is the group's";
  }
  const { iommufd = IOMMUFD_NODE } = nodes;
  if (typeof iommufd === "string" && !exists(device.host.kernel, iommufd)) {
    return `${iommufd} does not exist`;
  }
  return nodes.cdev === undefined
    ? "the device has no node of its own in /dev/vfio/devices"
    : undefined;
}

/** Which of its nodes cannot be opened, and why. */
function iommufdClosed(target: AttachTarget): string | undefined {
  for (const node of iommufdNodes(target)) {
    // Who has passed a descriptor in has opened it.
    if (typeof node === "number") continue;
    try {
      Fd.open(target.device.host.kernel, node, O_RDWR).close();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return `${node} cannot be opened (${error.code})`;
    }
  }
  return undefined;
}

function iommufdNodes({ nodes }: AttachTarget): [iommufd: Node, cdev: Node] {
  return [nodes.iommufd ?? IOMMUFD_NODE, nodes.cdev!];
}

/**
 * Makes the context of a backend, without asking the kernel anything yet.
 *
 * @param backend The backend.
 * @param kernel The system that is asked.
 * @param noIommu Whether it is for devices without an IOMMU.
 * @param mapped What is mapped in the address space.
 * @param shared The iommufd that it lives in, where that was passed in.
 */
export function createContext(
  backend: BackendName,
  kernel: Kernel,
  noIommu: boolean,
  mapped: Mapped,
  shared?: SharedIommufd,
): IommuContext {
  return backend === "iommufd"
    ? new IommufdContext(kernel, noIommu, mapped, shared)
    : new LegacyContext(kernel, noIommu ? NO_IOMMU : TYPE1, mapped);
}
