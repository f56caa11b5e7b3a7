/**
 * Functions that a state speaks of, whether they are there yet or not.
 *
 * @module
 */

import type { PciFunction } from "../../host/pci/function.ts";
import type { FunctionState, VirtualFunctionState } from "../state/state.ts";

/** An entry of the state with the function that it means. */
export interface Entry {
  /** Where it is said: `functions[0]`. */
  readonly at: string;
  /** The function. */
  readonly fn: PciFunction;
  /** What it should be. */
  readonly state: FunctionState;
}

/** A function, and what it should be. */
export interface Target {
  /** Where that is said: `functions[0].virtualFunctions`. */
  readonly at: string;
  /** Its address. */
  readonly address: string;
  /** The function; `undefined` for a virtual one that is yet to be made. */
  readonly fn: PciFunction | undefined;
  /** Who it is, as part of a reason: "virtual function 3 of 0000:01:00.0". */
  readonly who?: string;
  /** What it should be. */
  readonly state: VirtualFunctionState | FunctionState;
  /** Which virtual function of which function it is, where it is one. */
  readonly part?: VirtualPart;
  /** Whether no driver will have taken it when it has been made. */
  readonly untouched?: boolean;
}

/** A virtual function as a part of another function. */
export interface VirtualPart {
  /** That function. */
  readonly physical: PciFunction;
  /** The driver that that function should have, where that is said. */
  readonly driver: string | null | undefined;
  /** Its number, from 0 on. */
  readonly index: number;
}

/** Where a function's attributes are, or will be. */
export function directoryOf(address: string): string {
  return `/sys/bus/pci/devices/${address}`;
}

/** A reason, and who it is about where that needs saying. */
export function reasonFor({ who }: Target, why: string): string {
  return who === undefined ? why : `${who}: ${why}`;
}
