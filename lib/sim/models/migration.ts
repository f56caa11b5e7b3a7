/**
 * The part of a simulated device's driver that saves and loads its state, and
 * that logs its DMA.
 *
 * @module
 */

/** Saves and loads the state of a device. */
export interface ModelMigration {
  /** `VFIO_MIGRATION_*` bits. */
  readonly flags: number;
  /** The answer of a pre-copy state that has no data for now: 0, or an errno. */
  readonly noData: 0 | "ENOMSG";
  /** Whether opening the device has it run, as drivers of PCI functions do. */
  readonly runsWhenOpened: boolean;
  /** Bytes of its state. */
  readonly size: number;
  /** Begins to save. */
  save(): SavedData;
  /** Begins to load. */
  load(): LoadedData;
}

/** The state of a device that is saved. */
export interface SavedData {
  /** Bytes left of the initial data. */
  readonly initial: number;
  /** Bytes left of other data. */
  readonly dirty: number;
  /** Whether there is new initial data since it was last asked. */
  takeReinitialized(): boolean;
  /** Reads what is there now; returns how many bytes. */
  read(into: Uint8Array): number;
  /** Adds the last data. The device is stopped. */
  stop(): void;
  /** Ends the save. */
  end(): void;
}

/** The state of a device that is loaded. */
export interface LoadedData {
  /** Takes bytes; returns how many. It may refuse them. */
  write(from: Uint8Array): number;
  /** Loads them into the device. It may refuse what is too short. */
  finish(): void;
}

/** What logs the DMA of a device. */
export interface ModelLog {
  /** Whether it logs anything; the kernel's sample does not. */
  readonly works: boolean;
  /** The granularity that it chooses, in bytes; 0 for that which is asked. */
  readonly pageSize: number;
  /** The errno of beginning twice; `undefined` where that begins anew. */
  readonly startedTwice: string | undefined;
}
