/**
 * What a machine has beyond its hardware: what processes have changed.
 *
 * @module
 */

/** What processes have changed on a machine. Plain data, the same as JSON. */
export interface Kept {
  /** The id of the next process. */
  readonly nextPid?: number;
  /**
   * Functions that are not there: removed, or in a domain whose driver is not
   * bound.
   */
  readonly absent?: readonly string[];
  /** The numbers that VFIO has given to devices, by the devices' names. */
  readonly vfio?: Readonly<Record<string, VfioNumbers>>;
  /** What network cards' drivers set for virtual functions, by address. */
  readonly virtualNetworks?: Readonly<Record<string, VirtualNetwork>>;
  /** The modules that were loaded, by name. */
  readonly modules?: Readonly<Record<string, KeptModule>>;
  /** The texts of attributes, by path. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** What is on the disk, by path, directories before what is in them. */
  readonly disk?: Readonly<Record<string, DiskEntry>>;
  /** The owners and modes of device nodes, by path. */
  readonly nodes?: Readonly<Record<string, Required<DiskAccess>>>;
}

/** Numbers that are given out as devices come. */
export interface VfioNumbers {
  /** The number of the device: 0 for `vfio0`. */
  readonly number: number;
  /** The minor number of its group's node. */
  readonly minor: number;
  /** The number of its group, where VFIO has made that. */
  readonly group?: number;
}

/** A module that was loaded. */
export interface KeptModule {
  /** The modules that need it. */
  readonly users: readonly string[];
  /** The PCI driver that it brought. */
  readonly driver?: string;
}

/** The settings of a virtual function. */
export interface VirtualNetwork {
  /** Its MAC address, 12 hexadecimal digits. */
  readonly mac: string;
  /** Its VLAN; 0 for none. */
  readonly vlan: number;
  /** The priority in its VLAN. */
  readonly qos: number;
}

/** Who may do what with a file. */
export interface DiskAccess {
  /** The owner. Default: 0. */
  readonly uid?: number;
  /** The owner's group. Default: 0. */
  readonly gid?: number;
  /** Permission bits. Default: 0o644, for a directory 0o755. */
  readonly mode?: number;
}

/** A file by its text or its bytes, a symbolic link, or a directory. */
export type DiskEntry =
  | DiskAccess & { readonly text: string }
  | DiskAccess & { readonly base64: string }
  | DiskAccess & { readonly directory: true }
  | { readonly target: string };
