/**
 * The functions of a state. Virtual functions among them may not exist yet.
 *
 * @module
 */

import type { PciFunction } from "../../host/pci/function.ts";
import type { FunctionState, VirtualFunctionState } from "../state/state.ts";

/** An entry of the state with the function that it selects. */
export interface Entry {
  /** Its place in the state: `functions[0]`. */
  readonly at: string;
  /** The function. */
  readonly fn: PciFunction;
  /** Its desired state. */
  readonly state: FunctionState;
}

/** A function and its desired state. */
export interface Target {
  /** Its place in the state: `functions[0].virtualFunctions`. */
  readonly at: string;
  /** Its address. */
  readonly address: string;
  /**
   * The function; `undefined` for a virtual function that does not exist yet.
   */
  readonly fn: PciFunction | undefined;
  /** A description of it for reasons: "virtual function 3 of 0000:01:00.0". */
  readonly description?: string;
  /** Its desired state. */
  readonly state: VirtualFunctionState | FunctionState;
  /**
   * Its place among the virtual functions of its physical function, for a
   * virtual function.
   */
  readonly part?: VirtualPart;
  /** Whether it will have no driver when it has been made. */
  readonly untouched?: boolean;
}

/** A virtual function as a part of another function. */
export interface VirtualPart {
  /** The physical function. */
  readonly physical: PciFunction;
  /** The driver that the state gives the physical function, if it does. */
  readonly driver: string | null | undefined;
  /** Its number, from 0 on. */
  readonly index: number;
}

/** The directory of a function's attributes. It may not exist yet. */
export function directoryOf(address: string): string {
  return `/sys/bus/pci/devices/${address}`;
}

/** Writes a reason, after a description of the function where it has one. */
export function reasonFor({ description }: Target, why: string): string {
  return description === undefined ? why : `${description}: ${why}`;
}
