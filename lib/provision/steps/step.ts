/**
 * The steps of a plan: changes to a host that can be undone.
 *
 * @module
 */

import type { HandoffFormat, HandoffOptions } from "../../handoff/format.ts";
import type { DriverStep } from "../../host/driver/step.ts";

export type { DriverStep } from "../../host/driver/step.ts";

/** A change to the host. */
export type Step =
  | AttributeStep
  | ConfigurationStep
  | DriverStep
  | FileStep
  | HandoffStep
  | LinkStep
  | MediatedStep
  | ModuleStep
  | NodeStep
  | RomStep
  | VirtualFunctionsStep
  | VirtualNetworkStep;

/** The properties of every step. */
export interface StepBase {
  /** The device that it changes: an address or a UUID. */
  readonly device?: string;
  /** The reason, as a clause. */
  readonly why: string;
}

/** Writes an attribute: a reset method, a power policy, huge pages. */
export interface AttributeStep extends StepBase {
  /** The kind of change. */
  readonly kind: "attribute";
  /** The attribute, below `/sys`, `/proc/sys` or `/proc/irq`. */
  readonly path: string;
  /** The text that it has afterwards, without the newline at its end. */
  readonly value: string;
}

/** Loads a module, with those that it needs. */
export interface ModuleStep extends StepBase {
  /** The kind of change. */
  readonly kind: "module";
  /** Its name, as modprobe takes it: `"vfio-pci"`. */
  readonly name: string;
}

/** A file that a program of the host reads. */
export interface ConfigurationFile {
  /** The file's path. */
  readonly path: string;
  /** All of its text. */
  readonly text: string;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

/** Changes files of the host's settings, and runs what reads them. */
export interface ConfigurationStep extends StepBase {
  /** The kind of change. */
  readonly kind: "configuration";
  /** The path of the first file. */
  readonly path: string;
  /** The files, with all of their text. */
  readonly files: readonly ConfigurationFile[];
  /** What is run then, and when it is undone: words, the first a path. */
  readonly commands: readonly (readonly string[])[];
  /** What is set, for people: `["intel_iommu=on"]`. */
  readonly settings: readonly string[];
  /**
   * What of it the kernel has from its next boot on: words of its command line,
   * or options of modules.
   */
  readonly atBoot?: {
    readonly commandLine?: readonly string[];
    readonly moduleOptions?: Readonly<
      Record<string, Readonly<Record<string, string>>>
    >;
  };
}

/** Creates virtual functions, or removes them with a count of 0. */
export interface VirtualFunctionsStep extends StepBase {
  /** The kind of change. */
  readonly kind: "virtual functions";
  /** The physical function's address. */
  readonly device: string;
  /** How many to create. */
  readonly count: number;
}

/**
 * Sets the MAC address and VLAN of a virtual function through the network
 * interface of its physical function.
 */
export interface VirtualNetworkStep extends StepBase {
  /** The kind of change. */
  readonly kind: "vf network";
  /** The virtual function's address. */
  readonly device: string;
  /** The physical function's address. */
  readonly physical: string;
  /** The virtual function's number, from 0 on. */
  readonly index: number;
  /** Its MAC address: `"52:54:00:12:34:56"`. Default: unchanged. */
  readonly mac?: string;
  /** Its VLAN, 0 for none. Default: unchanged. */
  readonly vlan?: number;
}

/** Creates a mediated device. */
export interface MediatedStep extends StepBase {
  /** The kind of change. */
  readonly kind: "mediated device";
  /** Its UUID. */
  readonly device: string;
  /** The path in sysfs of the device that makes it. */
  readonly parent: string;
  /** Its type, such as `"i915-GVTg_V5_4"`. */
  readonly type: string;
}

/** Sets the owner and mode of a device's VFIO nodes. */
export interface NodeStep extends StepBase {
  /** The kind of change. */
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
  /** The kind of change. */
  readonly kind: "rom";
  /** The function's address. */
  readonly device: string;
  /** The file's path. */
  readonly path: string;
}

/** Writes a file of this library, or removes it. */
export interface FileStep extends StepBase {
  /** The kind of change. */
  readonly kind: "file";
  /** The file's path. */
  readonly path: string;
  /** Its contents; `null` to remove it. */
  readonly text: string | null;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

/** Makes a symbolic link of this library. */
export interface LinkStep extends StepBase {
  /** The kind of change. */
  readonly kind: "link";
  /** The link's path. */
  readonly path: string;
  /** The path that it leads to. */
  readonly target: string;
}

/** Writes a file that hands devices over, as they are once they are bound. */
export interface HandoffStep extends StepBase {
  /** The kind of change. */
  readonly kind: "handoff";
  /** The file's path. */
  readonly path: string;
  /** The format: `"cdi"`. */
  readonly format: HandoffFormat;
  /** The devices, addresses and UUIDs. */
  readonly devices: readonly string[];
  /** What else the format is given. */
  readonly options: HandoffOptions;
}
