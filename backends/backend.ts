/**
 * The seam between what a caller wants of an IOMMU and how the kernel is asked
 * for it. Nothing above it knows which backend it has.
 *
 * @module
 */

import type { HostDevice, IommuGroup } from "../lib/host/device.ts";
import type { Fd } from "../lib/kernel/fd.ts";

/** The two ways the kernel has. */
export type BackendName = "legacy" | "iommufd";

/** The versions of a container's IOMMU driver. */
export type ContainerVersion = "v1" | "v2" | "nesting";

/** A range of IOVAs, in bytes, `last` inclusive. */
export interface IovaRange {
  /** The first IOVA. */
  readonly start: bigint;
  /** The last IOVA. */
  readonly last: bigint;
}

/** Where bytes lie in a file. */
export interface FileRange {
  /** A descriptor of the file, open as long as the range is mapped. */
  readonly fd: number;
  /** Where the range begins in it, in bytes. */
  readonly offset: number;
}

/** Memory of this process, or of a file, as devices see it. */
export interface DmaRange {
  /** Where devices see it, in pages of 4 KiB. */
  readonly page: number;
  /** The same in bytes. */
  readonly iova: bigint;
  /** Where this process sees it; 0 where it cannot, as that of a dma-buf. */
  readonly address: bigint;
  /**
   * The file that it is memory of. A kernel that can maps that, so that the
   * mapping survives this process's own.
   */
  readonly file: FileRange | undefined;
  /** Bytes, whole pages. */
  readonly bytes: number;
  /** Whether devices may write to it. They may always read. */
  readonly writable: boolean;
  /**
   * Whether no IOMMU translates for it: devices reach it by its physical
   * addresses, at which it stays. Its IOVA is a name that no device knows.
   */
  readonly noIommu: boolean;
}

/** A part of memory that is contiguous in the machine's memory. */
export interface PhysicalRange {
  /** Its physical address, which a device without an IOMMU is given. */
  readonly address: bigint;
  /** How many bytes follow each other from there. */
  readonly length: number;
}

/** What the IOMMU, with the devices attached so far, can translate. */
export interface IommuLimits {
  /**
   * The IOVAs that can be mapped, ascending; reserved windows are left out.
   * Without an IOMMU there are none.
   */
  readonly ranges: readonly IovaRange[];
  /** What IOVAs and sizes must be multiples of, in bytes. */
  readonly alignment: bigint;
  /** How many more mappings the kernel takes, where it has such a limit. */
  readonly mappingsAvailable: number | undefined;
}

/** A device node: its path, or a descriptor of it that somebody passed in. */
export type Node = string | number;

/** The nodes through which a device is had. */
export interface DeviceNodes {
  /** Its group's, where the kernel has groups. */
  readonly group: Node | undefined;
  /** Its own, where the kernel has such nodes. */
  readonly cdev: Node | undefined;
  /** That of the iommufd that it is bound to. Default: `/dev/iommu`. */
  readonly iommufd?: Node | undefined;
  /** Its id in that iommufd, where it is bound to it already. */
  readonly deviceId?: number | undefined;
}

/** Descriptors that somebody passed in, in place of a device's nodes. */
export type PassedNodes = Partial<DeviceNodes>;

/** What is known of a device when it is to be attached. */
export interface AttachTarget {
  /** The device. */
  readonly device: HostDevice;
  /** The group that it belongs to. */
  readonly group: IommuGroup;
  /** Whether no IOMMU isolates the group. */
  readonly noIommu: boolean;
  /** Where it can be opened. */
  readonly nodes: DeviceNodes;
}

/** A virtual machine that has to know which files of VFIO are its devices'. */
export interface KnowsDevices {
  /** Adds a file: that of a group, or of a device. The machine then holds it. */
  add(fd: number): void;
  /** Removes it. */
  remove(fd: number): void;
}

/** What a single attachment can ask for. */
export interface AttachOptions {
  /**
   * The secret that a virtual function's physical function was given, where a
   * VFIO driver holds that: a UUID.
   */
  readonly vfToken?: string;
  /**
   * Says that the driver of a mediated device pins only what the device
   * accesses, and not all that is mapped. Then memory that the device does not
   * use can be given back to the system: {@linkcode AddressSpace.discardable}.
   *
   * @default {false}
   */
  readonly pinsOnDemand?: boolean;
  /**
   * The virtual machine that the device is for: `KvmVfio`. It is told before the
   * device is opened, and again before it is closed.
   */
  readonly kvm?: KnowsDevices;
  /**
   * The page table that the device is attached to in place of what the kernel
   * chooses: one that was made by {@linkcode AddressSpace.iommufd} of the space.
   * It is for the space's second and further devices, and those of the same
   * iommufd.
   */
  readonly pageTable?: PageTable;
}

/** A page table of an iommufd: `Hwpt` of `@passthru/vfio/iommufd`. */
export interface PageTable {
  /** Its number in the iommufd. */
  readonly id: number;
  /** What errors call it. */
  readonly name: string;
  /** The iommufd that it lives in. */
  readonly iommufd: object;
}

/** An iommufd that several may use: `Iommufd` of `@passthru/vfio/iommufd`. */
export interface SharedIommufd {
  /** Its descriptor. */
  readonly fd: Fd;
  /** Whether it was closed. */
  readonly closed: boolean;
}

/** The same, of a device by descriptors that somebody passed in. */
export interface AttachRequest extends AttachOptions {
  /** The descriptors. */
  readonly passed?: PassedNodes;
}

/**
 * What the kernel knows an attached device by: its group's descriptor where it
 * is had through that, else its id in an iommufd. A hot reset proves by these
 * that all devices which it takes are ours.
 */
export type Ownership =
  | {
    /** The group that it belongs to, open. */
    readonly group: Fd;
  }
  | {
    /** The iommufd that it is bound to. */
    readonly iommufd: Fd;
    /** Its id there. */
    readonly deviceId: number;
  };

/** A device in a security context. */
export interface Attachment {
  /** The device's descriptor. */
  readonly fd: Fd;
  /** What the kernel knows it by. */
  readonly ownership: Ownership;
  /**
   * Whether its descriptor was passed in. Then a detach does not close the
   * device: it stays bound, and as it is.
   */
  readonly borrowed: boolean;
  /**
   * Takes the device out of its security context. Its register mappings must be
   * gone. It always completes: where the kernel refuses a step, closing the
   * descriptor has the same effect.
   */
  detach(): Promise<void>;
}

/** What of the kernel logs which memory the devices of an IOVA space write. */
export interface DirtyLog {
  /** Which of its objects do. */
  readonly by: "container" | "hwpt";
  /** What a bit of a bitmap stands for, in bytes. */
  readonly pageSize: number;
  /**
   * Why it says of every mapped page that it was written; `undefined` where it
   * tells them apart.
   */
  readonly blur: string | undefined;
  /**
   * Whether a read begins and ends where mappings do. Then it also forgets what
   * it reports.
   */
  readonly wholeMappings: boolean;
  /**
   * Marks pages that were written since the last read that has cleared them.
   *
   * @param iova The first IOVA of a range without holes.
   * @param bytes Bytes of the range.
   * @param bitmap Gets the bits; zeros before.
   * @param clear Whether they are forgotten, where that can be chosen.
   */
  read(
    iova: bigint,
    bytes: number,
    bitmap: Uint8Array<ArrayBuffer>,
    clear: boolean,
  ): void;
  /**
   * Unmaps a range, and marks the pages of it that were written.
   *
   * @returns Whether a write between the two was impossible. Else it is for the
   * caller to know that no device writes.
   */
  unmap(range: DmaRange, bitmap: Uint8Array<ArrayBuffer>): boolean;
  /** Ends the log. */
  stop(): void;
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
  /**
   * The same without holding the event loop, as pinning takes about 20 ms a GiB.
   */
  mapAsync(range: DmaRange): Promise<void>;
  /**
   * Maps what another context has mapped, without pinning it once more.
   *
   * @param range What is mapped.
   * @param from The range there.
   * @param source The other context.
   * @returns Whether the kernel can do that; else it is for the caller to map.
   */
  copy(range: DmaRange, from: DmaRange, source: IommuContext): boolean;
  /** Unmaps a range in which only whole ranges were mapped. */
  unmap(range: DmaRange): void;
  /**
   * Has the kernel forget where this process has what is mapped. Devices go on
   * reaching it.
   */
  dropAddresses(): void;
  /** Tells the kernel where this process has a range now. */
  updateAddress(range: DmaRange): void;
  /**
   * Where a mapped range lies in physical memory, from an offset on, for devices
   * that no IOMMU isolates. One must be attached.
   */
  physical(range: DmaRange, offset: number): PhysicalRange;
  /** Asks the kernel what can be mapped. A device must be attached. */
  limits(): IommuLimits;
  /**
   * Has the kernel log which memory the devices that are attached write. Where
   * it does already, only those are added that came since.
   */
  startDirtyLog(): Promise<DirtyLog>;
}

/**
 * The mappings of the address space above. A device that joins sees them at
 * once, whichever kernel object that takes.
 */
export type Mapped = () => Iterable<DmaRange>;
