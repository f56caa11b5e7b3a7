/**
 * The topology of a simulated machine, as people and recordings write it.
 *
 * @module
 */

import type {
  FunctionRecording,
  MediatedTypeRecording,
  Recording,
} from "../../host/snapshot/recording.ts";
import type { Kept } from "../kept/kept.ts";
import type { Unknown } from "../posted/unknown.ts";
import type { DeviceKind } from "../models/model.ts";

/**
 * The hardware and kernel of a machine: a few lines for a test, or the
 * recording of a real host. Both are plain data, the same as JSON.
 */
export interface Topology extends Recording {
  /**
   * Whether its IOMMU logs which pages devices write, for page tables of iommufd
   * that ask for it.
   *
   * @default {false}
   */
  readonly dirtyTracking?: boolean;
  /**
   * Whether its IOMMU, Intel's, translates by page tables of the first stage,
   * as the newest kernels prefer in scalable mode. They have a bit less of IOVAs.
   *
   * @default {false}
   */
  readonly firstStage?: boolean;
  /** Its PCI functions, by address: `"0000:01:00.0"`. */
  readonly functions?: Readonly<Record<string, FunctionTopology>>;
  /**
   * Devices on other buses, by bus and name: `"platform/fe210000.ethernet"`.
   * VFIO's driver for each of these buses is loaded unless it is `false` in
   * `drivers`.
   */
  readonly devices?: Readonly<Record<string, DeviceTopology>>;
  /**
   * The types of mediated devices, by their parent: a function's address, or a
   * path below `/sys/devices/virtual`.
   */
  readonly mediatedTypes?: Readonly<
    Record<string, Readonly<Record<string, MediatedTypeTopology>>>
  >;
  /**
   * What it was made of does not tell, such as a posted text. No verdict is made
   * from it. Default: nothing.
   */
  readonly unknown?: readonly Unknown[];
  /**
   * What processes have changed, as {@linkcode SimulatedMachine.topology}
   * writes it. Nothing is derived then from what is not said.
   */
  readonly kept?: Kept;
}

/** A device on a bus other than PCI, such as a platform device. */
export interface DeviceTopology {
  /** The driver it is bound to, `null` for none. Default: none. */
  readonly driver?: string | null;
  /** Its `driver_override`. Default: none. */
  readonly override?: string;
  /**
   * The number of its IOMMU group, or `null` where the IOMMU does not cover it.
   * Default: a group of its own.
   */
  readonly group?: number | null;
  /** Its regions, which are memory, as the BARs of a function are described. */
  readonly regions?: readonly (string | null)[];
}

/** A PCI function, with properties that are not recorded. */
export interface FunctionTopology extends FunctionRecording {
  /**
   * Its serial number, as lspci writes it: `"a0-36-9f-ff-ff-12-34-56"`.
   * Default: none.
   */
  readonly serial?: string;
  /**
   * Its model: a name, or a model of your own. Default: the known model with
   * its id; without one, its BARs are memory and it does nothing.
   */
  readonly model?: string | DeviceKind;
  /**
   * The contents of its ROM, from its start. Default: one image of 512 bytes,
   * for this function.
   */
  readonly romContents?: Uint8Array;
  /**
   * The bytes of its config space, as sysfs has them, in hexadecimal with any
   * spaces between: 64, 256 or 4,096. Default: what the other properties make.
   */
  readonly config?: string;
  /**
   * How many vectors of MSI or MSI-X the host has for it: one of MSI where
   * nothing remaps interrupts. Default: all.
   */
  readonly vectors?: number;
}

/** A type of mediated devices, with properties that are not recorded. */
export interface MediatedTypeTopology extends MediatedTypeRecording {
  /**
   * Their model: a name, or a model of your own. Default: that of the kernel's
   * sample with the name of the type, such as `"mdpy-vga"`, else `"plain"`.
   */
  readonly model?: string | DeviceKind;
}
