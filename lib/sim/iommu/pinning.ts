import type { Process } from "../fs/file.ts";
import type { IoArea } from "./io_map.ts";
import { refuse } from "../process/refusal.ts";

/** Counts pinned memory. */
export interface Account {
  /** Adds memory of a process. ENOMEM above its limit. */
  charge(process: Process, bytes: number): void;
  /** Subtracts memory of a process. */
  refund(process: Process, bytes: number): void;
  /** Whether a device's registers can be mapped. They are not counted. */
  readonly takesRegisters: boolean;
}

/** Pins the memory behind a mapping. EFAULT where there is none. */
export function pin(area: IoArea, account: Account): void {
  const length = Number(area.last - area.iova) + 1;
  const memory = area.process.memory.slice(area.address, length) ??
    refuse("EFAULT");
  if (memory.pages.registers === undefined) {
    account.charge(area.process, length);
  } else if (!account.takesRegisters) {
    refuse("EFAULT");
  }
  area.pinned = memory;
}

/** Undoes {@linkcode pin}, if it was done. */
export function unpin(area: IoArea, account: Account): void {
  const { pinned } = area;
  if (pinned === undefined) return;
  if (pinned.pages.registers === undefined) {
    account.refund(area.process, pinned.length);
  }
  area.pinned = undefined;
}

/** Pins the memory behind all of the mappings, or none of it. */
export function pinAll(areas: readonly IoArea[], account: Account): void {
  try {
    for (const area of areas) pin(area, account);
  } catch (error) {
    unpinAll(areas, account);
    throw error;
  }
}

/** Undoes {@linkcode pinAll}. */
export function unpinAll(areas: readonly IoArea[], account: Account): void {
  for (const area of areas) unpin(area, account);
}
