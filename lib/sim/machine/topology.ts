/**
 * What a simulated machine is made of, as people and recordings write it.
 *
 * @module
 */

import type {
  FunctionRecording,
  MediatedTypeRecording,
  Recording,
} from "../../host/snapshot/recording.ts";
import type { DeviceKind } from "../models/model.ts";

/**
 * A machine: a few lines for a test, or the recording of a real host, which is
 * the same thing as JSON.
 */
export interface Topology extends Recording {
  /** Its PCI functions, by address: `"0000:01:00.0"`. */
  readonly functions?: Readonly<Record<string, FunctionTopology>>;
  /**
   * The types of mediated devices, by who makes them: a function's address, or
   * a path below `/sys/devices/virtual`.
   */
  readonly mediatedTypes?: Readonly<
    Record<string, Readonly<Record<string, MediatedTypeTopology>>>
  >;
}

/** A PCI function, and what is not recorded of one. */
export interface FunctionTopology extends FunctionRecording {
  /**
   * Its serial number, as lspci writes it: `"a0-36-9f-ff-ff-12-34-56"`.
   * Default: none.
   */
  readonly serial?: string;
  /**
   * What it does, by name or as a model of one's own. Default: the model that
   * has its id; else its BARs are memory, and it does nothing.
   */
  readonly model?: string | DeviceKind;
  /**
   * What is in its ROM, from its beginning. Default: one image of 512 bytes,
   * for this function.
   */
  readonly romContents?: Uint8Array;
}

/** A type of mediated devices, and what is not recorded of one. */
export interface MediatedTypeTopology extends MediatedTypeRecording {
  /** What they do, by name or as a model of one's own. Default: `"plain"`. */
  readonly model?: string | DeviceKind;
}
