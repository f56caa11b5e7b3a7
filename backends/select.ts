/**
 * Which backend a device gets, and why.
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import { KernelError } from "../lib/kernel/errno.ts";
import { Fd } from "../lib/kernel/fd.ts";
import type { Kernel } from "../lib/kernel/kernel.ts";
import { O_RDWR } from "../lib/uapi/fcntl.ts";
import type {
  AttachTarget,
  BackendName,
  IommuContext,
  Mapped,
} from "./backend.ts";
import { IOMMUFD_NODE, IommufdContext } from "./iommufd.ts";
import { LegacyContext } from "./legacy.ts";

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
 * @throws {VfioError} `BACKEND_UNAVAILABLE` if iommufd was asked for by name
 * and the host has none for this device.
 */
export function selectBackend(
  target: AttachTarget,
  wanted: BackendName | "auto",
): Selection {
  if (wanted === "legacy") return { backend: wanted, reason: "asked for" };
  const obstacle = iommufdObstacle(target);
  if (wanted === "iommufd") {
    if (obstacle === undefined) return { backend: wanted, reason: "asked for" };
    throw new VfioError("BACKEND_UNAVAILABLE", {
      device: target.device.name,
      problem: `iommufd was asked for, but ${obstacle}`,
      hint: "take the legacy backend, or a kernel with CONFIG_IOMMUFD and " +
        "CONFIG_VFIO_DEVICE_CDEV",
    });
  }
  if (obstacle !== undefined) return { backend: "legacy", reason: obstacle };
  const reason = `${IOMMUFD_NODE} and ${target.nodes.cdev} both work`;
  return { backend: "iommufd", reason };
}

/** What stands in the way of iommufd for this device. */
function iommufdObstacle(
  { device, nodes, noIommu }: AttachTarget,
): string | undefined {
  if (noIommu) return "without an IOMMU only the container serves the device";
  const { kernel } = device.host;
  return nodeObstacle(kernel, IOMMUFD_NODE) ??
    (nodes.cdev === undefined
      ? "the device has no node of its own in /dev/vfio/devices"
      : nodeObstacle(kernel, nodes.cdev));
}

function nodeObstacle(kernel: Kernel, node: string): string | undefined {
  try {
    Fd.open(kernel, node, O_RDWR).close();
    return undefined;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.code === "ENOENT"
      ? `${node} does not exist`
      : `${node} cannot be opened (${error.code})`;
  }
}

/** Makes the context of a backend; nothing is asked of the kernel yet. */
export function createContext(
  backend: BackendName,
  kernel: Kernel,
  mapped: Mapped,
): IommuContext {
  return backend === "iommufd"
    ? new IommufdContext(kernel, mapped)
    : new LegacyContext(kernel, mapped);
}
