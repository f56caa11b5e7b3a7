import type { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../lib/uapi/vfio/container.ts";
import type { AttachTarget } from "../backend.ts";
import { groupNotViable, openNode } from "../explain.ts";

/** Opens a viable group. */
export function openGroup(kernel: Kernel, target: AttachTarget): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(openNode(kernel, target, target.nodes.group!));
  const status = vfio_group_status.alloc();
  fd.ioctl(VFIO_GROUP_GET_STATUS, status);
  const { flags } = vfio_group_status.decode(status);
  if ((flags & VFIO_GROUP_FLAGS_VIABLE) === 0) throw groupNotViable(target);
  stack.move();
  return fd;
}
