/**
 * The format of a recording: plain data, the same as JSON.
 *
 * @module
 */

/** The drivers that are loaded by default. */
export const LOADED: readonly string[] = ["vfio-pci", "pci-stub", "pcieport"];

/** A recording of a host. */
export interface Recording {
  /** The version of the format. */
  readonly version?: 1;
  /** Its IOMMU. Default: `"intel"`. */
  readonly iommu?: "intel" | "amd" | "virtio" | "none";
  /** Its kernel. */
  readonly kernel?: KernelRecording;
  /** Its PCI functions, by address: `"0000:01:00.0"`. */
  readonly functions?: Readonly<Record<string, FunctionRecording>>;
  /**
   * Drivers by name, those of other buses than PCI by bus and name, such as
   * `"platform/vfio-platform"`. It adds drivers that no device is bound to, and
   * details of any driver. `vfio-pci`, `pci-stub` and `pcieport` are loaded
   * unless they are `false`.
   */
  readonly drivers?: Readonly<Record<string, DriverRecording | false>>;
  /**
   * The types of mediated devices, by their parent: a function's address, or a
   * path below `/sys/devices/virtual`.
   */
  readonly mediatedTypes?: Readonly<
    Record<string, Readonly<Record<string, MediatedTypeRecording>>>
  >;
  /** Mediated devices, by UUID. */
  readonly mediated?: Readonly<Record<string, MediatedRecording>>;
  /**
   * How many huge pages are reserved, by size: `{ "2M": 512 }`. They are spread
   * evenly over the NUMA nodes.
   */
  readonly hugePages?: Readonly<Record<string, number>>;
  /**
   * Files by path, in addition to those of sysfs and procfs or replacing them:
   * a `pci.ids`, a `/proc/mounts`, a disk below its controller. They do not
   * change when devices do. The first process has id 1000.
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
  /**
   * The release, as `uname -r` prints it. Default: the newest kernel that the
   * simulation was compared with.
   */
  readonly release?: string;
  /**
   * Whether it has `/dev/iommu` and the devices' own nodes. Default: from 6.6
   * on.
   */
  readonly iommufd?: boolean;
  /** Its command line. */
  readonly commandLine?: string;
  /**
   * How the IOMMU translates for kernel drivers: `"DMA"`, `"DMA-FQ"`,
   * `"identity"`. Default: `"DMA-FQ"`, unless the command line says otherwise.
   */
  readonly translation?: string;
  /** Whether VFIO accepts devices without an IOMMU. Default: false. */
  readonly unsafeNoIommu?: boolean;
  /**
   * Whether vfio-pci refuses the devices on its denylist, which the parameter
   * `disable_denylist` switches off. Default: true.
   */
  readonly denylist?: boolean;
  /** How many mappings a container can have. Default: 65,535. */
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
   * The driver it is bound to, `null` for none. Default: `pcieport` for bridges
   * that are not conventional, the driver of `sriov` for virtual functions,
   * none for all others.
   */
  readonly driver?: string | null;
  /** Its `driver_override`. */
  readonly override?: string;
  /** Whether it may be suspended. Default: `"auto"` on VFIO drivers. */
  readonly power?: "on" | "auto";
  /**
   * The address of the bridge that it is behind. The bridge need not be listed.
   * In a domain of its own, it is the function whose driver makes that domain,
   * such as Intel's VMD. Default: none.
   */
  readonly behind?: string;
  /**
   * Whether it is conventional PCI. Default: as its bridge, or as the model. A
   * bridge with conventional functions behind it is a PCI Express to PCI
   * bridge.
   */
  readonly conventional?: boolean;
  /**
   * Whether it has ACS, which isolates the functions of its slot, and for a
   * bridge those behind it. Default: true for bridges and for functions that
   * can have virtual functions.
   */
  readonly acs?: boolean;
  /**
   * For a bridge, whether it forwards alternative routing ids (ARI). Default:
   * true.
   */
  readonly ari?: boolean;
  /**
   * For a bridge, the number of the last bus that it leads to. Default: the last
   * one that is used, or would be by virtual functions, and none of another
   * bridge's.
   */
  readonly lastBus?: number;
  /**
   * The number of its IOMMU group, or `null` where the IOMMU does not cover it.
   * Default: a group of its own, shared with the functions of its slot if that
   * has no ACS, with everything behind its conventional bridge, and with the
   * function whose driver makes its domain.
   */
  readonly group?: number | null;
  /**
   * Memory that the firmware keeps mapped for it, with identical addresses, in
   * the format of `reserved_regions`: `"0xe8000 0xe8fff direct"`. A `direct`
   * region keeps the function from user space, a `direct-relaxable` one does
   * not. Default: none.
   */
  readonly reserved?: readonly string[];
  /**
   * Its NUMA node. The machine has all nodes up to the highest one. Default:
   * -1, for a machine with one node.
   */
  readonly numaNode?: number;
  /**
   * Its BARs by number, `null` for none: `"128K"`, `"32 io"`,
   * `"8G 64bit prefetchable"`. Each may have an address: `"4K at 0xfe000000"`.
   * A BAR of 64 bits occupies the next number too. Default: the model's.
   */
  readonly bars?: readonly (string | null)[];
  /** Its ROM: `"64K"`. Default: none. */
  readonly rom?: string;
  /**
   * Its reset methods, the preferred one first. Default: the model's; without a
   * model `["flr"]`, and none for conventional PCI, for bridges, and for what the
   * kernel does not reset so.
   */
  readonly reset?: readonly string[];
  /** Its interrupts. Default: the model's; without a model INTx and one MSI. */
  readonly interrupts?: InterruptsRecording;
  /**
   * The network interface that a driver of the host makes for it: `"eth0"`. It
   * sets the addresses and VLANs of the virtual functions. Default: none.
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
   * How many there are. Properties of single virtual functions, such as their
   * groups, are given at their addresses in `functions`. Default: 0.
   */
  readonly enabled?: number;
  /** Vendor and device: `"8086:10ca"`. */
  readonly id: string;
  /** The driver that binds them by itself. Default: none. */
  readonly driver?: string;
  /** Whether drivers may bind them by themselves. Default: true. */
  readonly autoprobe?: boolean;
  /** The distance from the function to the first of them. Default: 128. */
  readonly offset?: number;
  /** The distance from one to the next. Default: 2. */
  readonly stride?: number;
  /** The BARs of each of them, in the form of a function's. Default: none. */
  readonly bars?: readonly (string | null)[];
}

/** A driver. */
export interface DriverRecording {
  /**
   * The ids that it binds by itself: `"8086:10d3"`, `"class:010802"`, or the
   * name of a device on another bus. Default: those of the devices that are
   * bound to it.
   */
  readonly ids?: readonly string[];
  /**
   * Who does DMA with its devices. Default: `"user"` for drivers with the name
   * of a VFIO driver, else `"kernel"`.
   */
  readonly dma?: "kernel" | "user" | "none";
  /**
   * What happens to the virtual functions that it made when it is unbound, or
   * `"none"` where it makes none. Default: `"removed"` for drivers of functions
   * that can have some, but for those that are known to make none. Other drivers
   * make none.
   */
  readonly virtualFunctions?: "removed" | "kept" | "none";
  /** Whether it has the files `bind` and `unbind`. Default: true. */
  readonly bindable?: boolean;
}

/** A type of mediated devices. */
export interface MediatedTypeRecording {
  /** How many can be made. */
  readonly instances: number;
  /** Their driver. Default: the type's name up to the `-`. */
  readonly driver?: string;
}

/** A mediated device. */
export interface MediatedRecording {
  /** The device that made it: a function's address, or a path. */
  readonly parent: string;
  /** Its type, such as `"i915-GVTg_V5_4"`. */
  readonly type: string;
}
