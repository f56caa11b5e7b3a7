/**
 * `linux/iommufd.h`: IO page faults, answered from user space.
 *
 * @module
 */

import { io, type Ioctl } from "../ioctl.ts";
import { IOMMUFD_TYPE } from "./ioas.ts";
import {
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../layout.ts";

/** The number of IOMMU_FAULT_QUEUE_ALLOC. */
export const IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e;

/** Answers the queue's id, and the fd that faults are read from. */
export const iommu_fault_alloc: Struct<{
  size: U32;
  flags: U32;
  out_fault_id: U32;
  out_fault_fd: U32;
}> = struct("iommu_fault_alloc", {
  size: u32,
  flags: u32,
  out_fault_id: u32,
  out_fault_fd: u32,
});

/** The new fd gives `iommu_hwpt_pgfault`, takes `iommu_hwpt_page_response`. */
export const IOMMU_FAULT_QUEUE_ALLOC: Ioctl = io(
  "IOMMU_FAULT_QUEUE_ALLOC",
  IOMMUFD_TYPE,
  IOMMUFD_CMD_FAULT_QUEUE_ALLOC,
  iommu_fault_alloc,
);

/** The last fault of a group carries the `cookie` that the answer repeats. */
export const iommu_hwpt_pgfault: Struct<{
  flags: U32;
  dev_id: U32;
  pasid: U32;
  grpid: U32;
  perm: U32;
  __reserved: U32;
  addr: U64;
  length: U32;
  cookie: U32;
}> = struct("iommu_hwpt_pgfault", {
  flags: u32,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  __reserved: u32,
  addr: u64,
  length: u32,
  cookie: u32,
});
/** `pasid` is valid. */
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0;
/** The last fault of its group. */
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1;
/** The device wants to read. */
export const IOMMU_PGFAULT_PERM_READ = 1 << 0;
/** The device wants to write. */
export const IOMMU_PGFAULT_PERM_WRITE = 1 << 1;
/** The device wants to execute. */
export const IOMMU_PGFAULT_PERM_EXEC = 1 << 2;
/** The device asks with privilege. */
export const IOMMU_PGFAULT_PERM_PRIV = 1 << 3;

/** `code` is one of IOMMUFD_PAGE_RESP_*. */
export const iommu_hwpt_page_response: Struct<{
  cookie: U32;
  code: U32;
}> = struct("iommu_hwpt_page_response", {
  cookie: u32,
  code: u32,
});
/** The page is there now; the device retries. */
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
/** The device must not retry. */
export const IOMMUFD_PAGE_RESP_INVALID = 1;
