import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { VfioError } from "../../lib/errors.ts";
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../lib/uapi/vfio/container.ts";
import type { AttachTarget } from "../backend.ts";
import { groupNotViable, nodeName, openNode } from "../explain.ts";

/** Opens a viable group. */
export function openGroup(kernel: Kernel, target: AttachTarget): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openNode(kernel, target, target.nodes.group!));
  const status = vfio_group_status.alloc();
  fd.ioctl(VFIO_GROUP_GET_STATUS, status);
  const { flags } = vfio_group_status.decode(status);
  if ((flags & VFIO_GROUP_FLAGS_VIABLE) === 0) throw groupNotViable(target);
  // A group that was opened by its path is new.
  if ((flags & VFIO_GROUP_FLAGS_CONTAINER_SET) !== 0) {
    throw new VfioError("DEVICE_BUSY", {
      device: target.device.name,
      problem: `the group of ${nodeName(target.nodes.group!)} is in a ` +
        "container already",
      hint: "pass a group that is in none",
    });
  }
  stack.move();
  return fd;
}
