/**
 * What a plan is made of: changes to a host that can be undone.
 *
 * @module
 */

/** A change to the host. */
export type Step =
  | AttributeStep
  | DriverStep
  | FileStep
  | LinkStep
  | MediatedStep
  | NodeStep
  | RomStep
  | VirtualFunctionsStep
  | VirtualNetworkStep;

/** What every change has. */
export interface StepBase {
  /** The device it is about: an address or a UUID. */
  readonly device?: string;
  /** Why it is made: a clause. */
  readonly why: string;
}

/** Writes an attribute: a reset method, a power policy, huge pages. */
export interface AttributeStep extends StepBase {
  /** Which change it is. */
  readonly kind: "attribute";
  /** The attribute, below `/sys` or `/proc/sys`. */
  readonly path: string;
  /** What it shall read as, without the newline at its end. */
  readonly value: string;
}

/** Moves a PCI function to a driver. */
export interface DriverStep extends StepBase {
  /** Which change it is. */
  readonly kind: "driver";
  /** The function's address. */
  readonly device: string;
  /** The driver; `null` for none. */
  readonly driver: string | null;
}

/** Creates virtual functions, or removes them with a count of 0. */
export interface VirtualFunctionsStep extends StepBase {
  /** Which change it is. */
  readonly kind: "virtual functions";
  /** The physical function's address. */
  readonly device: string;
  /** How many there shall be. */
  readonly count: number;
}

/**
 * Sets what a virtual function is on the network, by its physical function's
 * network interface.
 */
export interface VirtualNetworkStep extends StepBase {
  /** Which change it is. */
  readonly kind: "vf network";
  /** The virtual function's address. */
  readonly device: string;
  /** The physical function's address. */
  readonly physical: string;
  /** The virtual function's number, from 0 on. */
  readonly index: number;
  /** Its MAC address: `"52:54:00:12:34:56"`. Default: left as it is. */
  readonly mac?: string;
  /** Its VLAN, 0 for none. Default: left as it is. */
  readonly vlan?: number;
}

/** Creates a mediated device. */
export interface MediatedStep extends StepBase {
  /** Which change it is. */
  readonly kind: "mediated device";
  /** Its UUID. */
  readonly device: string;
  /** The path in sysfs of the device that makes it. */
  readonly parent: string;
  /** Its type, such as `"i915-GVTg_V5_4"`. */
  readonly type: string;
}

/** Says who may open the nodes that VFIO has for a device. */
export interface NodeStep extends StepBase {
  /** Which change it is. */
  readonly kind: "node";
  /** The device's address or UUID. */
  readonly device: string;
  /** The owner's user id. */
  readonly uid?: number;
  /** The owner's group id. */
  readonly gid?: number;
  /** Permission bits, such as 0o660. */
  readonly mode?: number;
}

/** Copies a PCI function's expansion ROM to a file, where there was none. */
export interface RomStep extends StepBase {
  /** Which change it is. */
  readonly kind: "rom";
  /** The function's address. */
  readonly device: string;
  /** The file's path. */
  readonly path: string;
}

/** Writes a file of its own, or removes it. */
export interface FileStep extends StepBase {
  /** Which change it is. */
  readonly kind: "file";
  /** The file's path. */
  readonly path: string;
  /** What is in it; `null` when it shall not be there. */
  readonly text: string | null;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

/** Makes a symbolic link of its own. */
export interface LinkStep extends StepBase {
  /** Which change it is. */
  readonly kind: "link";
  /** The link's path. */
  readonly path: string;
  /** What is written in it. */
  readonly target: string;
}
