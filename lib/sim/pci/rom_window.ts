import { ROM } from "../machine/placement.ts";
import type { PciFunction } from "./function.ts";
import { makeRom, romSize } from "./rom.ts";

/** The expansion ROM of a function. */
export interface RomWindow {
  /** Bytes that its register decodes. */
  readonly size: number;
  /** The images that the kernel finds in it. */
  readonly images: Uint8Array;
}

/** Returns the expansion ROM of a function, if it has one. */
export function romWindow(fn: PciFunction): RomWindow | undefined {
  const size = fn.resources[ROM]?.size;
  if (size === undefined) return undefined;
  const { identity, romContents = makeRom(identity) } = fn;
  const rom = romContents.subarray(0, size);
  return { size, images: rom.subarray(0, romSize(rom)) };
}
