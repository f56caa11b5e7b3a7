import type { Process } from "../fs/file.ts";
import type { IoArea } from "./io_map.ts";
import { refuse } from "../process/refusal.ts";

/** How pinned memory is counted. */
export interface Account {
  /** Counts memory of a process: ENOMEM where that is too much. */
  charge(process: Process, bytes: number): void;
  /** Counts it no longer. */
  refund(process: Process, bytes: number): void;
  /** Whether a device's registers can be mapped, which are not counted. */
  readonly takesRegisters: boolean;
}

/** Pins the memory behind a mapping: EFAULT where it is not there. */
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

/** Undoes {@linkcode pin}, where that was done. */
export function unpin(area: IoArea, account: Account): void {
  const { pinned } = area;
  if (pinned === undefined) return;
  if (pinned.pages.registers === undefined) {
    account.refund(area.process, pinned.length);
  }
  area.pinned = undefined;
}

/** Pins what is behind all of the mappings, or nothing. */
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
