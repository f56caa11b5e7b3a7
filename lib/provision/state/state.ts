/**
 * The desired state of a host, as people write it in TypeScript, JSON or YAML.
 *
 * @module
 */

import type { HandoffFormat, HandoffOptions } from "../../handoff/format.ts";

/**
 * The desired state of a host and its devices for passthrough. What the state
 * does not mention is left unchanged. It is plain data, the same as JSON.
 * {@linkcode parseState} checks it and `schema.json` describes it.
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
  /** The address of its JSON schema, for editors. */
  readonly $schema?: string;
  /** PCI functions, each once. */
  readonly functions?: readonly FunctionState[];
  /**
   * Modules that are loaded, as modprobe takes their names: `"vfio-pci"`. They
   * are loaded first. `restore` unloads those that were loaded by this.
   */
  readonly modules?: readonly string[];
  /**
   * Words of the kernel's command line: `"intel_iommu=on"`. They are written to
   * the settings of the boot loader, beside those that are there, and the kernel
   * has them from its next boot on.
   */
  readonly commandLine?: readonly string[];
  /**
   * Options of modules. They are written to a file of modprobe's, and a module
   * that is loaded already has them from the next boot on.
   */
  readonly moduleOptions?: ModuleOptions;
  /** Processors that only a machine uses. */
  readonly isolation?: IsolationState;
  /** Mediated devices, each once. */
  readonly mediated?: readonly MediatedState[];
  /** Reserved huge pages, each size and NUMA node once. */
  readonly hugePages?: readonly HugePagesState[];
  /**
   * How much memory the processes of a user may lock (RLIMIT_MEMLOCK), by the
   * user's name or id: a {@linkcode MemorySize}, or `"unlimited"`. It is a file
   * in `/etc/security/limits.d`, for sessions that PAM opens. Services of
   * systemd need `LimitMEMLOCK=` in their unit instead. All memory that is
   * mapped for DMA counts: the whole memory of a virtual machine. The legacy
   * backend counts by process, iommufd by user.
   */
  readonly memoryLimit?: Readonly<Record<string, MemorySize | "unlimited">>;
  /** Files that hand devices over, each path once. */
  readonly handoff?: readonly HandoffState[];
}

/**
 * An amount of memory in units of 1024: `"64K"`, `"2M"`, `"8G"`, `"1T"`.
 */
export type MemorySize = string;

/** Options of modules, by module and name: `{ "vfio-pci": { … } }`. */
export type ModuleOptions = Readonly<
  Record<string, Readonly<Record<string, string>>>
>;

/**
 * Processors that the services and the users of the host do not use, until the
 * next boot: systemd runs them elsewhere.
 */
export interface IsolationState {
  /** The processors: `"2-5,8"`. */
  readonly cpus: string;
  /** The slice that runs on them. Default: `"machine.slice"`. */
  readonly slice?: string;
}

/** The desired state of a PCI function. */
export interface FunctionState {
  /** Which function. */
  readonly select: Selector;
  /** The hardware that it must be. If it is not, nothing is done. */
  readonly pin?: Pin;
  /**
   * The driver that it should be bound to: `"vfio-pci"`, a variant such as
   * `"mlx5_vfio_pci"`, or a driver of the host's; `null` for none.
   */
  readonly driver?: string | null;
  /**
   * What happens to the other endpoints of its IOMMU group, with a VFIO driver:
   * a group goes to user space only as a whole. `"all endpoints"` gives them
   * the same driver, except those that the state gives another driver, and
   * those whose driver does not keep the group from user space. `"refuse"`
   * throws where an endpoint is on such a driver. Default: `"refuse"`.
   */
  readonly group?: "refuse" | "all endpoints";
  /** Its virtual functions. */
  readonly virtualFunctions?: VirtualFunctionsState;
  /**
   * The methods by which the kernel may reset it, the preferred first. They
   * stay until the next boot.
   */
  readonly reset?: readonly ResetMethod[];
  /**
   * Whether it may sleep while nobody uses it: `false`, never; `"hot"`, in
   * D3hot, where it keeps its power; `"cold"`, also in D3cold, where it loses
   * its power and some devices never wake. VFIO drivers allow sleep when they
   * bind.
   */
  readonly idleD3?: false | "hot" | "cold";
  /**
   * The absolute path of a file that holds a copy of its expansion ROM, for
   * QEMU's `romfile=`. Where the file does not exist, the ROM is copied to it,
   * before the driver changes. A file that exists must be a ROM for such a
   * function, for example one of the vendor's.
   */
  readonly rom?: string;
  /** The owner and mode of its VFIO nodes. It needs a VFIO driver. */
  readonly node?: NodeState;
  /**
   * The processors that its interrupts go to: `"node"`, those of its NUMA node,
   * or a list such as `"0-3"`. These are the interrupts that it has now: a
   * driver gives it others when it is bound, or a machine starts.
   */
  readonly interrupts?: string;
}

/**
 * Selects a PCI function: an address, `"0000:01:00.0"` or `"01:00.0"`, or one
 * of the objects. A selector that matches several functions is an error that
 * lists them.
 */
export type Selector =
  | string
  | AddressSelector
  | PathSelector
  | IdSelector
  | SlotSelector;

/**
 * Selects a function by its address. Adding another card can change addresses.
 */
export interface AddressSelector {
  /** `"0000:01:00.0"`, or `"01:00.0"` in domain 0. */
  readonly address: string;
}

/**
 * Selects a function by the bridges that lead to it. That path does not depend
 * on bus numbers.
 */
export interface PathSelector {
  /**
   * The address of a function on a root bus, then device and function number of
   * each function on the way, and of the function itself: `"0000:00:1c.0/00.0"`
   * is function 00.0 behind the root port 0000:00:1c.0. ACPI's DMAR table names
   * devices in this way. Virtual functions have no path. They are configured at
   * their physical function.
   */
  readonly path: string;
}

/** Selects a function by its ids. */
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

/**
 * Selects a function by its slot, as the firmware or a hotplug driver names it.
 */
export interface SlotSelector {
  /** The name in `/sys/bus/pci/slots`: `"3"`. */
  readonly slot: string;
  /** Its number on the card in the slot, 0 to 7. Default: the only one. */
  readonly function?: number;
}

/**
 * The hardware that a function must be. Only the keys that are given are
 * compared.
 */
export interface Pin {
  /** Vendor and device: `"8086:10d3"`. */
  readonly id?: string;
  /** Subsystem vendor and subsystem: `"8086:a01f"`. */
  readonly subsystem?: string;
  /** Revision, 0 to 255. */
  readonly revision?: number;
  /**
   * Vendor and device of each PCI function of its IOMMU group, in any order. It
   * includes the function itself and bridges, but no other function's virtual
   * functions.
   */
  readonly group?: readonly string[];
}

/** A reset method, as the kernel names it. */
export type ResetMethod =
  | "device_specific"
  | "acpi"
  | "flr"
  | "af_flr"
  | "pm"
  | "bus"
  | "cxl_bus";

/** The desired state of a virtual function. */
export interface VirtualFunctionState {
  /**
   * Its driver; `null` for none. Default: the first driver that matches. When
   * every virtual function has its driver given, and one gets a VFIO driver or
   * none, the host's drivers do not probe them.
   */
  readonly driver?: string | null;
  /** As {@linkcode FunctionState.reset}. */
  readonly reset?: readonly ResetMethod[];
  /**
   * As {@linkcode FunctionState.idleD3}. It shares the power of its physical
   * function, so that it has no `"cold"`.
   */
  readonly idleD3?: false | "hot";
  /** As {@linkcode FunctionState.node}. */
  readonly node?: NodeState;
  /**
   * The VLAN that the network card keeps it in, 1 to 4094; 0 for none. It is
   * set before the virtual function gets its driver. A driver that is bound
   * already may see the change only when it is bound again.
   */
  readonly vlan?: number;
  /**
   * Its MAC address, a unicast address: `"52:54:00:12:34:56"`. The network
   * card's driver sets it, as it does for `vlan`.
   */
  readonly mac?: string;
}

/** The virtual functions that a function should have. */
export interface VirtualFunctionsState
  extends Omit<VirtualFunctionState, "mac"> {
  /**
   * How many. To change the number, all present virtual functions are removed
   * first: the kernel changes it only from and to 0.
   */
  readonly count: number;
  /**
   * The differences of single virtual functions, by their number, from `"0"`
   * on.
   */
  readonly overrides?: Readonly<Record<string, VirtualFunctionState>>;
}

/**
 * The owner and mode of a device's nodes. What is not given is left unchanged.
 */
export interface NodeState {
  /** The owner's name or user id. */
  readonly owner?: string | number;
  /** The group's name or id. */
  readonly group?: string | number;
  /** Permission bits in octal: `"0660"`. */
  readonly mode?: string;
}

/** A mediated device that should exist. */
export interface MediatedState {
  /** Its UUID. */
  readonly uuid: string;
  /**
   * The device that provides it: a PCI function, or a path below
   * `/sys/devices`.
   */
  readonly parent: Selector;
  /**
   * Its type, one of `mdev_supported_types` of the parent: `"i915-GVTg_V5_4"`.
   */
  readonly type: string;
  /** The owner and mode of its VFIO nodes. */
  readonly node?: NodeState;
}

/** Huge pages that should be reserved. */
export interface HugePagesState {
  /** The size of each: `"2M"`, `"1G"`. */
  readonly size: MemorySize;
  /** How many, including those in use. */
  readonly count: number;
  /**
   * The NUMA node that they are on. Default: the kernel spreads them over all
   * nodes.
   */
  readonly numaNode?: number;
}

/**
 * A file that hands devices over to those who use them. It is written once the
 * devices are bound, and removed before they are given back.
 */
export interface HandoffState extends HandoffOptions {
  /** Who reads it: `"cdi"`, `"libvirt"`. */
  readonly format: HandoffFormat;
  /** The file's absolute path. */
  readonly path: string;
  /**
   * The functions. Default: all that the state gives a VFIO driver, and all its
   * mediated devices.
   */
  readonly functions?: readonly Selector[];
  /** The mediated devices, by UUID. Default: none beside `functions`. */
  readonly mediated?: readonly string[];
}
