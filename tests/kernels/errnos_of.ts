/**
 * The errnos with which each kernel call can fail, for tests that make it fail.
 *
 * @module
 */

import { O_CREAT } from "../../lib/uapi/linux/fcntl.ts";
import type { Ioctl } from "../../lib/uapi/ioctl.ts";
import type { KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";

/** The errnos of opening any file. */
const OPEN = ["EACCES", "EMFILE", "ENFILE", "ENOENT", "ENOMEM"];

/** The errnos of reading an attribute. */
const READ = [...OPEN, "EIO", "ENODEV"];

/** The errnos of writing an attribute. */
const WRITE = [...READ, "EBUSY", "EINVAL", "EPERM", "EROFS"];

/** The errnos of changing the names in a directory. */
const NAMES = [
  "EACCES",
  "EDQUOT",
  "EIO",
  "ENOENT",
  "ENOMEM",
  "ENOSPC",
  "ENOTDIR",
  "EPERM",
  "EROFS",
];

/** The errnos of opening a file that may be created. */
const CREATE = [...NAMES, "EEXIST", "EISDIR"];

/** The errnos by method, for calls that no other table has. */
const METHODS: Readonly<
  Partial<Record<keyof Kernel, readonly string[]>>
> = {
  open: [...OPEN, "EBUSY", "EINTR", "EINVAL", "ENODEV", "ENXIO", "EPERM"],
  close: ["EINTR", "EIO"],
  closeAsync: ["EINTR", "EIO"],
  mmap: ["EACCES", "EAGAIN", "EINVAL", "ENODEV", "ENOMEM", "EPERM"],
  munmap: ["EINVAL", "ENOMEM"],
  read: ["EAGAIN", "EINTR", "EINVAL", "EIO"],
  write: ["EAGAIN", "EDQUOT", "EINTR", "EINVAL", "EIO", "ENOSPC"],
  pread: ["EFAULT", "EINVAL", "EIO"],
  pwrite: ["EFAULT", "EINVAL", "EIO"],
  socket: [
    "EACCES",
    "EAFNOSUPPORT",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
    "EPROTONOSUPPORT",
  ],
  bind: ["EINVAL", "ENOMEM", "EPERM"],
  runAsync: ["EACCES", "EAGAIN", "ENOEXEC", "ENOMEM", "EPERM"],
  eventfd: ["EMFILE", "ENFILE", "ENODEV", "ENOMEM"],
  eventSource: ["EMFILE", "ENFILE", "ENOMEM", "ENOSPC"],
  pollAsync: ["EINVAL", "ENOMEM"],
  readlink: ["EACCES", "EINVAL", "ENOENT", "ENOMEM"],
  readdir: OPEN,
  stat: ["EACCES", "ENOENT", "ENOMEM"],
  lstat: ["EACCES", "ENOENT", "ENOMEM"],
  fstat: ["EACCES", "EIO", "ENOMEM"],
  readFileBytes: READ,
  readAsync: ["EAGAIN", "EINTR", "EINVAL", "EIO"],
  writeAsync: ["EAGAIN", "EDQUOT", "EINTR", "EINVAL", "EIO", "ENOSPC"],
  madvise: ["EAGAIN", "EINVAL", "ENOMEM"],
  memfd: ["EINVAL", "EMFILE", "ENFILE", "ENOMEM", "EPERM"],
  ftruncate: ["EFBIG", "EINTR", "EINVAL", "EIO", "ENOSPC", "EPERM"],
  fcntl: ["EINVAL", "EMFILE", "EPERM"],
  readFile: READ,
  readFileAsync: READ,
  mkdir: [...NAMES, "EEXIST"],
  rmdir: [...NAMES, "EBUSY", "ENOTEMPTY"],
  rename: [...NAMES, "EBUSY", "EISDIR", "ENOTEMPTY", "EXDEV"],
  unlink: [...NAMES, "EBUSY", "EISDIR"],
  symlink: [...NAMES, "EEXIST"],
  fchmod: ["EACCES", "EIO", "EPERM", "EROFS"],
  fchown: ["EACCES", "EDQUOT", "EIO", "EPERM", "EROFS"],
  fsync: ["EDQUOT", "EINVAL", "EIO", "ENOSPC", "EROFS"],
  flock: ["EAGAIN", "EINTR", "ENOLCK"],
};

/**
 * The errnos by the name of the attribute, which its driver or its bus handles.
 */
const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  // The errors of the driver's probe. EPROBE_DEFER becomes EAGAIN.
  bind: [...WRITE, "EAGAIN", "ENOSPC", "ENXIO", "EOPNOTSUPP", "ETIMEDOUT"],
  sriov_numvfs: [...WRITE, "EAGAIN", "ERANGE"],
};

/** The errno of any ioctl, from a security module: `security_file_ioctl()`. */
const IOCTL = ["EACCES"];

/**
 * The errnos by the name of the ioctl: `drivers/vfio/`,
 * `drivers/iommu/iommufd/`.
 */
const IOCTLS: Readonly<Record<string, readonly string[]>> = {
  VFIO_GET_API_VERSION: [],
  VFIO_CHECK_EXTENSION: [],
  KVM_CREATE_VM: ["EINVAL", "EMFILE", "ENOMEM"],
  KVM_CREATE_DEVICE: ["EBUSY", "EFAULT", "EMFILE", "ENODEV", "ENOMEM"],
  KVM_SET_DEVICE_ATTR: ["EBADF", "EEXIST", "EFAULT", "EINVAL", "ENOMEM"],
  IOMMU_DESTROY: ["EBUSY", "EFAULT", "ENOENT"],
  VFIO_SET_IOMMU: ["EBUSY", "EINVAL", "ENODEV", "ENOMEM", "EPERM"],
  VFIO_GROUP_GET_STATUS: ["EFAULT", "EINVAL", "ENODEV"],
  VFIO_GROUP_SET_CONTAINER: [
    "EBADF",
    "EBADFD",
    "EBUSY",
    "EFAULT",
    "EINVAL",
    "ENODEV",
    "ENOMEM",
    "EPERM",
  ],
  VFIO_GROUP_UNSET_CONTAINER: ["EBUSY", "EINVAL", "ENODEV"],
  VFIO_GROUP_GET_DEVICE_FD: [
    "EBUSY",
    "EINVAL",
    "EIO",
    "EMFILE",
    "ENFILE",
    "ENODEV",
    "ENOMEM",
    "EPERM",
  ],
  VFIO_DEVICE_BIND_IOMMUFD: [
    "EBADF",
    "EBUSY",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "EIO",
    "ENODEV",
    "ENOMEM",
    "EPERM",
  ],
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: [
    "EADDRINUSE",
    "EBUSY",
    "EFAULT",
    "EINVAL",
    "ENODEV",
    "ENOENT",
    "ENOMEM",
    "EOPNOTSUPP",
    "EPERM",
  ],
  VFIO_DEVICE_DETACH_IOMMUFD_PT: ["EBUSY", "EINVAL", "ENODEV"],
  VFIO_DEVICE_GET_INFO: ["EFAULT", "EINVAL", "EIO", "ENODEV"],
  VFIO_DEVICE_GET_REGION_INFO: ["EFAULT", "EINVAL", "EIO", "ENODEV", "ENOMEM"],
  VFIO_DEVICE_GET_IRQ_INFO: ["EFAULT", "EINVAL", "EIO", "ENODEV"],
  VFIO_DEVICE_SET_IRQS: [
    "EBADF",
    "EBUSY",
    "EFAULT",
    "EINVAL",
    "EIO",
    "ENODEV",
    "ENOMEM",
    "ENOSPC",
    "ENOTTY",
  ],
  VFIO_DEVICE_IOEVENTFD: [
    "EBADF",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "EIO",
    "ENODEV",
    "ENOMEM",
    "ENOSPC",
    "ENOTTY",
  ],
  VFIO_DEVICE_QUERY_GFX_PLANE: ["EFAULT", "EINVAL", "EIO", "ENOMEM", "ENOTTY"],
  VFIO_DEVICE_GET_GFX_DMABUF: [
    "EFAULT",
    "EINVAL",
    "EIO",
    "EMFILE",
    "ENFILE",
    "ENOENT",
    "ENOMEM",
    "ENOTTY",
  ],
  // ENOTTY is that of a feature which the device does not have.
  VFIO_DEVICE_FEATURE: [
    "EBUSY",
    "EFAULT",
    "EINVAL",
    "EIO",
    "EMFILE",
    "ENODEV",
    "ENOMEM",
  ],
  VFIO_MIG_GET_PRECOPY_INFO: ["EFAULT", "EINVAL", "EIO", "ENODEV"],
  VFIO_DEVICE_RESET: ["EAGAIN", "EINVAL", "EIO", "ENOTTY", "ETIMEDOUT"],
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: [
    "EAGAIN",
    "EFAULT",
    "EINVAL",
    "EIO",
    "ENODEV",
    "ENOMEM",
    "ENOSPC",
    "EPERM",
  ],
  VFIO_DEVICE_PCI_HOT_RESET: [
    "EAGAIN",
    "EBADF",
    "EBUSY",
    "EFAULT",
    "EINVAL",
    "EIO",
    "ENODEV",
    "ENOMEM",
    "ENOTTY",
    "ETIMEDOUT",
  ],
  VFIO_IOMMU_GET_INFO: ["EFAULT", "EINVAL", "ENOMEM"],
  VFIO_IOMMU_MAP_DMA: [
    "EBUSY",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "ENOMEM",
    "ENOSPC",
    "EOVERFLOW",
    "EPERM",
  ],
  VFIO_IOMMU_UNMAP_DMA: ["EBUSY", "EFAULT", "EINVAL", "ENOMEM", "EOVERFLOW"],
  VFIO_IOMMU_DIRTY_PAGES: ["EFAULT", "EINVAL", "ENOMEM"],
  IOMMU_IOAS_ALLOC: ["EFAULT", "EINVAL", "ENOMEM", "ENOSPC"],
  IOMMU_IOAS_IOVA_RANGES: [
    "EFAULT",
    "EINVAL",
    "EMSGSIZE",
    "ENOENT",
    "EOPNOTSUPP",
  ],
  IOMMU_IOAS_MAP_FILE: [
    "EADDRINUSE",
    "EBADF",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "ENODEV",
    "ENOMEM",
    "EOVERFLOW",
  ],
  IOMMU_IOAS_COPY: ["EEXIST", "EINVAL", "ENOENT", "ENOMEM", "EOVERFLOW"],
  IOMMU_HWPT_ALLOC: ["EFAULT", "EINVAL", "ENOMEM", "ENOSPC", "EOPNOTSUPP"],
  IOMMU_HWPT_SET_DIRTY_TRACKING: ["EINVAL", "ENOMEM"],
  IOMMU_HWPT_GET_DIRTY_BITMAP: ["EFAULT", "EINVAL", "ENOMEM"],
  IOMMU_IOAS_MAP: [
    "EADDRINUSE",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "EOPNOTSUPP",
    "EOVERFLOW",
    "EPERM",
  ],
  IOMMU_IOAS_NOIOMMU_GET_PA: [
    "EFAULT",
    "EINVAL",
    "ENOENT",
    "EOPNOTSUPP",
    "EOVERFLOW",
    "EPERM",
  ],
  IOMMU_IOAS_UNMAP: [
    "EBUSY",
    "EDEADLK",
    "EFAULT",
    "EINVAL",
    "ENOENT",
    "EOVERFLOW",
  ],
};

/**
 * The errnos that a call can plausibly fail with, by name and in order.
 *
 * @param call The call.
 * @throws {TypeError} When the call is unknown.
 */
export function errnosOf(call: KernelCall): readonly string[] {
  const { method, args } = call;
  const codes = codesOf(call);
  if (codes !== undefined) return [...new Set(codes)].sort();
  const subject = method.startsWith("ioctl") ? (args[1] as Ioctl).name : method;
  throw new TypeError(`Cannot tell what ${subject} fails with`);
}

function codesOf(
  { method, args }: KernelCall,
): readonly string[] | undefined {
  switch (method) {
    case "ioctl":
    case "ioctlAsync": {
      const codes = IOCTLS[(args[1] as Ioctl).name];
      return codes === undefined ? undefined : [...IOCTL, ...codes];
    }
    case "open": {
      const creates = ((args[1] as number) & O_CREAT) !== 0;
      return creates ? [...METHODS.open!, ...CREATE] : METHODS.open;
    }
    case "writeFile":
    case "writeFileAsync":
      return ATTRIBUTES[(args[0] as string).split("/").at(-1)!] ?? WRITE;
    default:
      return METHODS[method];
  }
}
