import type { Process } from "../fs/file.ts";
import { type IoArea, memoryOf } from "./io_map.ts";
import type { Machine } from "../machine/machine.ts";
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
  const memory = memoryOf(area, area.address, length) ??
    refuse(area.file === undefined ? "EFAULT" : "EINVAL");
  // The registers behind a dma-buf are not counted.
  const isDmaBuf = area.file?.dmaBuf !== undefined;
  if (memory.pages.registers === undefined) {
    const { charge } = area;
    if (charge === undefined || charge.pins === 0) {
      account.charge(area.process, length);
      if (charge !== undefined) charge.bytes = length;
    }
    if (charge !== undefined) charge.pins++;
  } else if (!account.takesRegisters && !isDmaBuf) {
    refuse("EFAULT");
  }
  area.pinned = memory;
}

/** Undoes {@linkcode pin}, if it was done. */
export function unpin(area: IoArea, account: Account): void {
  const { pinned } = area;
  if (pinned === undefined) return;
  if (pinned.pages.registers === undefined) {
    const { charge } = area;
    if (charge === undefined || --charge.pins === 0) {
      account.refund(area.process, charge?.bytes ?? pinned.length);
    }
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

/** Counts memory by user. Root has no limit. */
export function userAccount({ pinnedByUser }: Machine): Account {
  const count = (process: Process, bytes: number) => {
    const pinned = (pinnedByUser.get(process.uid) ?? 0) + bytes;
    if (process.uid !== 0 && pinned > process.memlock) refuse("ENOMEM");
    pinnedByUser.set(process.uid, pinned);
    process.pinned += bytes;
  };
  return {
    charge: count,
    refund: (process, bytes) => count(process, -bytes),
    takesRegisters: false,
  };
}
