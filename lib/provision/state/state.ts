/**
 * What a host should be, as people write it: in TypeScript, JSON or YAML.
 *
 * @module
 */

/**
 * What a host should be, as far as handing out its devices goes. What is not
 * said is left as it is. It is plain data: the same as JSON, which
 * {@linkcode parseState} checks and `schema.json` describes.
 *
 * @example A network card for a virtual machine, and memory for it
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { type DesiredState, plan } from "@passthru/vfio/provision";
 *
 * const state: DesiredState = {
 *   functions: [{
 *     select: "0000:01:00.0",
 *     pin: { id: "8086:10d3" },
 *     driver: "vfio-pci",
 *     group: "all endpoints",
 *   }],
 *   hugePages: [{ size: "2M", count: 512 }],
 * };
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * console.log(plan(host, state).toString());
 * ```
 */
export interface DesiredState {
  /** The schema that it follows, for editors. */
  readonly $schema?: string;
  /** PCI functions, each once. */
  readonly functions?: readonly FunctionState[];
  /** Mediated devices, each once. */
  readonly mediated?: readonly MediatedState[];
  /** Reserved huge pages, each size and NUMA node once. */
  readonly hugePages?: readonly HugePagesState[];
  /**
   * How much memory the processes of a user may lock (RLIMIT_MEMLOCK), by the
   * user's name or id: a {@linkcode MemorySize}, or `"unlimited"`. It is for
   * sessions that PAM opens, by a file in `/etc/security/limits.d`; what
   * systemd starts has `LimitMEMLOCK=` in its unit. The legacy backend counts
   * by process, iommufd by user; both count what is mapped for DMA, which for
   * a virtual machine is all its memory.
   */
  readonly memoryLimit?: Readonly<Record<string, MemorySize | "unlimited">>;
}

/**
 * An amount of memory in units of 1024: `"64K"`, `"2M"`, `"8G"`, `"1T"`.
 */
export type MemorySize = string;

/** What a PCI function should be. */
export interface FunctionState {
  /** Which function. */
  readonly select: Selector;
  /** What its hardware has to be, or nothing is done. */
  readonly pin?: Pin;
  /**
   * The driver that it should be bound to: `"vfio-pci"`, a variant such as
   * `"mlx5_vfio_pci"`, a driver of the host's; `null` for none.
   */
  readonly driver?: string | null;
  /**
   * With a VFIO driver, what becomes of the other endpoints of its IOMMU group,
   * which only whole goes to user space: `"all endpoints"` gives them the same
   * driver, unless the state says otherwise of one, or it has a driver that is
   * in nobody's way; `"refuse"` gives an error where one is in the way.
   * Default: `"refuse"`.
   */
  readonly group?: "refuse" | "all endpoints";
  /** Its virtual functions. */
  readonly virtualFunctions?: VirtualFunctionsState;
  /**
   * The ways in which the kernel may reset it, the preferred first. It keeps
   * to this until the host is booted again.
   */
  readonly reset?: readonly ResetMethod[];
  /**
   * Whether it may sleep while nobody uses it: `false`, never; `"hot"`, in
   * D3hot, where it keeps its power; `"cold"`, also in D3cold, where it loses
   * it and not every device wakes. The VFIO drivers let it sleep as they come.
   */
  readonly idleD3?: false | "hot" | "cold";
  /**
   * The absolute path of a file that holds a copy of its expansion ROM, as QEMU
   * takes it (`romfile=`). Where there is none it is read, while the function
   * still has the driver that it had. What is there has to be a ROM of such a
   * function, be it a vendor's.
   */
  readonly rom?: string;
  /** Who may open its VFIO nodes. Only where it has a VFIO driver. */
  readonly node?: NodeState;
}

/**
 * Which PCI function: its address, `"0000:01:00.0"` or `"01:00.0"`, or one of
 * the others. What matches several functions is an error that lists them.
 */
export type Selector =
  | string
  | AddressSelector
  | PathSelector
  | IdSelector
  | SlotSelector;

/** A function by its address, which a card put in elsewhere can change. */
export interface AddressSelector {
  /** `"0000:01:00.0"`, or `"01:00.0"` in domain 0. */
  readonly address: string;
}

/** A function by the way to it, which does not change with bus numbers. */
export interface PathSelector {
  /**
   * The function's own device and function number behind those of the bridges
   * that lead to it, from a function on a root bus on:
   * `"0000:00:1c.0/00.0"` is function 00.0 behind the root port 0000:00:1c.0.
   * ACPI's DMAR table names devices so. Virtual functions have none:
   * they are said at their physical function.
   */
  readonly path: string;
}

/** A function by what it is. */
export interface IdSelector {
  /** Vendor and device: `"8086:10d3"`. */
  readonly id: string;
  /**
   * Its PCI Express Device Serial Number, as lspci writes it:
   * `"a0-36-9f-ff-ff-12-34-56"`. Functions of one card often share it. Only
   * root can read it.
   */
  readonly serial?: string;
}

/** A function by the slot that the firmware or a hotplug driver names. */
export interface SlotSelector {
  /** The name in `/sys/bus/pci/slots`: `"3"`. */
  readonly slot: string;
  /** Its number on the card in the slot, 0 to 7. Default: the only one. */
  readonly function?: number;
}

/** What a function's hardware has to be: what is said of it is compared. */
export interface Pin {
  /** Vendor and device: `"8086:10d3"`. */
  readonly id?: string;
  /** Subsystem vendor and subsystem: `"8086:a01f"`. */
  readonly subsystem?: string;
  /** Revision, 0 to 255. */
  readonly revision?: number;
  /**
   * Vendor and device of each PCI function of its IOMMU group, itself and
   * bridges too, in any order; but no virtual functions, which come and go.
   */
  readonly group?: readonly string[];
}

/** A way to reset a function, as the kernel names it. */
export type ResetMethod =
  | "device_specific"
  | "acpi"
  | "flr"
  | "af_flr"
  | "pm"
  | "bus"
  | "cxl_bus";

/** What can be said of a virtual function. */
export interface VirtualFunctionState {
  /**
   * Its driver; `null` for none. Default: whichever takes it. Where all have
   * their driver said, and one a VFIO driver or none, the host's drivers do not
   * get to see them.
   */
  readonly driver?: string | null;
  /** As {@linkcode FunctionState.reset}. */
  readonly reset?: readonly ResetMethod[];
  /**
   * As {@linkcode FunctionState.idleD3}; it loses its power with its physical
   * function only.
   */
  readonly idleD3?: false | "hot";
  /** As {@linkcode FunctionState.node}. */
  readonly node?: NodeState;
  /**
   * The VLAN that the network card keeps it in, 1 to 4094; 0 for none. It is
   * set before the virtual function gets the driver that is said of it; one
   * that has its driver already may see it only when it is bound anew.
   */
  readonly vlan?: number;
  /**
   * Its MAC address, that of one device: `"52:54:00:12:34:56"`. As `vlan`, it is
   * set by the network card's driver.
   */
  readonly mac?: string;
}

/** The virtual functions that a function should have, and what they are. */
export interface VirtualFunctionsState
  extends Omit<VirtualFunctionState, "mac"> {
  /**
   * How many. The kernel changes one number to another through none, so all
   * that there are go first where it differs.
   */
  readonly count: number;
  /** What is otherwise, by the virtual function's number, from `"0"` on. */
  readonly overrides?: Readonly<Record<string, VirtualFunctionState>>;
}

/** Who may open a device's nodes. What is not said is left as it is. */
export interface NodeState {
  /** The owner's name or user id. */
  readonly owner?: string | number;
  /** The group's name or id. */
  readonly group?: string | number;
  /** Permission bits in octal: `"0660"`. */
  readonly mode?: string;
}

/** A mediated device that should be. */
export interface MediatedState {
  /** Its UUID. */
  readonly uuid: string;
  /** Who makes it: a PCI function, or a path below `/sys/devices`. */
  readonly parent: Selector;
  /** Its type, as below the parent: `"i915-GVTg_V5_4"`. */
  readonly type: string;
  /** Who may open its VFIO nodes. */
  readonly node?: NodeState;
}

/** Huge pages that should be reserved. */
export interface HugePagesState {
  /** The size of each: `"2M"`, `"1G"`. */
  readonly size: MemorySize;
  /** How many, those in use too. */
  readonly count: number;
  /** The NUMA node that they are on. Default: all together, spread evenly. */
  readonly numaNode?: number;
}
