/**
 * The seam between what a caller wants of an IOMMU and how the kernel is asked
 * for it. Nothing above it knows which backend it has.
 *
 * @module
 */

import type { HostDevice, IommuGroup } from "../lib/host/device.ts";
import type { VfioNodes } from "../lib/host/iommu/nodes.ts";
import type { Fd } from "../lib/kernel/fd.ts";

/** The two ways the kernel has. */
export type BackendName = "legacy" | "iommufd";

/** A range of IOVAs, in bytes, `last` inclusive. */
export interface IovaRange {
  /** The first IOVA. */
  readonly start: bigint;
  /** The last IOVA. */
  readonly last: bigint;
}

/** Memory of this process as devices see it. */
export interface DmaRange {
  /** Where devices see it, in pages of 4 KiB. */
  readonly page: number;
  /** The same in bytes. */
  readonly iova: bigint;
  /** Where this process sees it. */
  readonly address: bigint;
  /** Bytes, whole pages. */
  readonly bytes: number;
  /** Whether devices may write to it. They may always read. */
  readonly writable: boolean;
}

/** What the IOMMU, with the devices attached so far, can translate. */
export interface IommuLimits {
  /** The IOVAs that can be mapped, ascending; reserved windows are left out. */
  readonly ranges: readonly IovaRange[];
  /** What IOVAs and sizes must be multiples of, in bytes. */
  readonly alignment: bigint;
  /** How many more mappings the kernel takes, where it has such a limit. */
  readonly mappingsAvailable: number | undefined;
}

/** What is known of a device when it is to be attached. */
export interface AttachTarget {
  /** The device. */
  readonly device: HostDevice;
  /** The group that it belongs to. */
  readonly group: IommuGroup;
  /** Whether no IOMMU isolates the group. */
  readonly noIommu: boolean;
  /** Where it can be opened. */
  readonly nodes: VfioNodes;
}

/** What a single attachment can ask for. */
export interface AttachOptions {
  /**
   * The secret that a virtual function's physical function was given, where a
   * VFIO driver holds that: a UUID.
   */
  readonly vfToken?: string;
}

/** A device in a security context. */
export interface Attachment {
  /** The device's descriptor. */
  readonly fd: Fd;
  /**
   * Takes the device out of its security context. Its register mappings must be
   * gone. It always completes: where the kernel refuses a step, closing the
   * descriptor has the same effect.
   */
  detach(): Promise<void>;
}

/**
 * One IOVA space in the kernel, and the devices attached to it. Its kernel
 * objects come with the first device and go with the last.
 */
export interface IommuContext {
  /** Which backend it is, for people to read. */
  readonly backend: BackendName;
  /**
   * Attaches a device: when it returns, the device sees what is mapped, nothing
   * else, and its descriptor can be used. When it fails, nothing remains.
   */
  attach(target: AttachTarget, options: AttachOptions): Promise<Attachment>;
  /**
   * Maps a range that is valid, free, and within the limits. It does nothing
   * once the last device is gone.
   */
  map(range: DmaRange): void;
  /** Unmaps the whole of a range that was mapped. */
  unmap(range: DmaRange): void;
  /** Asks the kernel what can be mapped. A device must be attached. */
  limits(): IommuLimits;
}

/**
 * The mappings of the address space above. A device that joins sees them at
 * once, whichever kernel object that takes.
 */
export type Mapped = () => Iterable<DmaRange>;
