/**
 * What is recorded of a host, in words that are read and written as JSON.
 *
 * @module
 */

/** Drivers that are loaded unless a recording says otherwise. */
export const LOADED: readonly string[] = ["vfio-pci", "pci-stub", "pcieport"];

/** A host. */
export interface Recording {
  /** The version of a recording. */
  readonly version?: 1;
  /** Its IOMMU. Default: `"intel"`. */
  readonly iommu?: "intel" | "amd" | "none";
  /** Its kernel. */
  readonly kernel?: KernelRecording;
  /** Its PCI functions, by address: `"0000:01:00.0"`. */
  readonly functions?: Readonly<Record<string, FunctionRecording>>;
  /**
   * Drivers by name: more than those that functions are bound to, and more of
   * them. `vfio-pci`, `pci-stub` and `pcieport` are loaded unless they are
   * `false`.
   */
  readonly drivers?: Readonly<Record<string, DriverRecording | false>>;
  /**
   * The types of mediated devices, by who makes them: a function's address, or
   * a path below `/sys/devices/virtual`.
   */
  readonly mediatedTypes?: Readonly<
    Record<string, Readonly<Record<string, MediatedTypeRecording>>>
  >;
  /** Mediated devices, by UUID. */
  readonly mediated?: Readonly<Record<string, MediatedRecording>>;
  /**
   * Huge pages that are reserved, by size: `{ "2M": 512 }`, spread evenly over
   * the NUMA nodes.
   */
  readonly hugePages?: Readonly<Record<string, number>>;
  /**
   * Files beside those of sysfs and procfs, or in place of some, by path: a
   * `pci.ids`, a `/proc/mounts`, a disk below its controller. They stay as they
   * are, whatever becomes of the devices. The first process is number 1000.
   */
  readonly files?: Readonly<Record<string, string | LinkRecording>>;
}

/** A symbolic link. */
export interface LinkRecording {
  /** The absolute path that it leads to. */
  readonly link: string;
}

/** A kernel. */
export interface KernelRecording {
  /** What `uname -r` says. Default: that of the newest kernel there is. */
  readonly release?: string;
  /**
   * Whether it has `/dev/iommu` and the devices' own nodes. Default: from 6.6
   * on.
   */
  readonly iommufd?: boolean;
  /** What it was booted with. */
  readonly commandLine?: string;
  /**
   * How the IOMMU translates for kernel drivers: `"DMA"`, `"DMA-FQ"`,
   * `"identity"`. Default: what the command line makes of `"DMA-FQ"`.
   */
  readonly translation?: string;
  /** Whether VFIO takes devices without an IOMMU. Default: false. */
  readonly unsafeNoIommu?: boolean;
  /** How many mappings a container takes. Default: 65,535. */
  readonly mappingLimit?: number;
}

/** A PCI function. */
export interface FunctionRecording {
  /** Vendor and device: `"8086:10d3"`. Default: the model's. */
  readonly id?: string;
  /** Subsystem vendor and subsystem. Default: the vendor, and 0. */
  readonly subsystem?: string;
  /** Class code, 24 bits: `0x020000`. Default: the model's, or unassigned. */
  readonly class?: number;
  /** Revision, 8 bits. Default: 0. */
  readonly revision?: number;
  /**
   * The driver it is bound to, `null` for none. Default: none; for bridges that
   * are not conventional `pcieport`, for virtual functions what is said of all.
   */
  readonly driver?: string | null;
  /** Its `driver_override`. */
  readonly override?: string;
  /** Whether it may be suspended. Default: `"auto"` on VFIO drivers. */
  readonly power?: "on" | "auto";
  /**
   * The bridge it is behind, which is there then; or, in a domain of its own,
   * the function whose driver makes that domain, such as Intel's VMD. Default:
   * none.
   */
  readonly behind?: string;
  /**
   * Whether it is conventional PCI. Default: as the bridge, or the model. What
   * leads from PCI Express to something conventional is a bridge for that.
   */
  readonly conventional?: boolean;
  /**
   * Whether it keeps functions apart: those of its slot, and for a bridge those
   * behind it. Default: only bridges, and what can have virtual functions.
   */
  readonly acs?: boolean;
  /**
   * The number of its IOMMU group, or `null` where the IOMMU leaves it out.
   * Default: alone, but with the other functions of its slot where that has no
   * ACS, with all that is behind its conventional bridge, and with the function
   * whose driver makes its domain.
   */
  readonly group?: number | null;
  /**
   * Memory that the firmware keeps mapped for it, at its own addresses and in
   * the words of `reserved_regions`: `"0xe8000 0xe8fff direct"`, which keeps it
   * from user space, or `"direct-relaxable"`, which does not. Default: none.
   */
  readonly reserved?: readonly string[];
  /**
   * The NUMA node it is next to; the machine has all up to the last one named.
   * Default: -1, for the only one.
   */
  readonly numaNode?: number;
  /**
   * Its BARs by number, `null` for none: `"128K"`, `"32 io"`,
   * `"8G 64bit prefetchable"`, each also with its place: `"4K at 0xfe000000"`.
   * One of 64 bits takes the next number too. Default: the model's.
   */
  readonly bars?: readonly (string | null)[];
  /** Its ROM: `"64K"`. Default: none. */
  readonly rom?: string;
  /**
   * How it can be reset, the preferred way first. Default: the model's; else
   * `["flr"]`, and nothing for conventional PCI and for bridges.
   */
  readonly reset?: readonly string[];
  /** Its interrupts. Default: the model's; else INTx and one MSI. */
  readonly interrupts?: InterruptsRecording;
  /**
   * The network interface that a driver of the host makes of it: `"eth0"`. The
   * addresses and VLANs of its virtual functions are set through it. Default:
   * none.
   */
  readonly network?: string;
  /** Its virtual functions. Default: it can have none. */
  readonly sriov?: SriovRecording;
}

/** How many interrupts of each kind a function has. */
export interface InterruptsRecording {
  /** Whether it has an INTx pin. Default: false. */
  readonly intx?: boolean;
  /** MSI vectors. Default: 0. */
  readonly msi?: number;
  /** MSI-X vectors. Default: 0. */
  readonly msix?: number;
}

/** A function's virtual functions. */
export interface SriovRecording {
  /** How many there can be. */
  readonly total: number;
  /**
   * How many there are. What is said of them in particular, such as their
   * groups, is said at their addresses. Default: 0.
   */
  readonly enabled?: number;
  /** Vendor and device: `"8086:10ca"`. */
  readonly id: string;
  /** The driver that takes them by itself. Default: none. */
  readonly driver?: string;
  /** Whether drivers may do that. Default: true. */
  readonly autoprobe?: boolean;
  /** From the function to the first of them. Default: 128. */
  readonly offset?: number;
  /** From one to the next. Default: 2. */
  readonly stride?: number;
  /** The BARs of each of them, as a function's. Default: none. */
  readonly bars?: readonly (string | null)[];
}

/** A driver. */
export interface DriverRecording {
  /**
   * What it takes by itself: `"8086:10d3"`, `"class:010802"`. Default: the
   * functions that are bound to it.
   */
  readonly ids?: readonly string[];
  /**
   * Who does DMA with what it is bound to. Default: `"user"` for VFIO's drivers
   * by their names, else `"kernel"`.
   */
  readonly dma?: "kernel" | "user" | "none";
  /**
   * What it does to the virtual functions that it made when it goes. Default:
   * `"removed"` for drivers of functions that can have some; others make none.
   */
  readonly virtualFunctions?: "removed" | "kept";
  /** Whether it can be told to bind and to unbind. Default: true. */
  readonly bindable?: boolean;
}

/** A type of mediated devices. */
export interface MediatedTypeRecording {
  /** How many can be made. */
  readonly instances: number;
  /** Their driver. Default: what is before the `-` of the type's name. */
  readonly driver?: string;
}

/** A mediated device. */
export interface MediatedRecording {
  /** Who made it: a function's address, or a path. */
  readonly parent: string;
  /** Its type, such as `"i915-GVTg_V5_4"`. */
  readonly type: string;
}
