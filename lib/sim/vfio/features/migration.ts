import { O_RDONLY, O_WRONLY } from "../../../uapi/linux/fcntl.ts";
import {
  VFIO_DEVICE_STATE_ERROR,
  VFIO_DEVICE_STATE_PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING,
  VFIO_DEVICE_STATE_RUNNING,
  VFIO_DEVICE_STATE_STOP,
  VFIO_DEVICE_STATE_STOP_COPY,
} from "../../../uapi/vfio/migration.ts";
import type { Process } from "../../fs/file.ts";
import type {
  LoadedData,
  ModelMigration,
  SavedData,
} from "../../models/migration.ts";
import { nextState } from "./migration_arcs.ts";
import { LoadingFile, SavingFile } from "./migration_file.ts";

interface Saving {
  readonly data: SavedData;
  readonly file: SavingFile;
}

interface Loading {
  readonly data: LoadedData;
  readonly file: LoadingFile;
}

/**
 * The migration of a device, as its driver has it (`struct
 * vfio_migration_ops`): its state, and the file of its data.
 */
export class Migration {
  readonly #model: ModelMigration;
  #state = VFIO_DEVICE_STATE_RUNNING;
  #saving: Saving | undefined;
  #loading: Loading | undefined;
  /** Whether it tells of new initial data. */
  tellsReinit = false;

  /** @param model Saves and loads the device's state. */
  constructor(model: ModelMigration) {
    this.#model = model;
  }

  /** `VFIO_MIGRATION_*` bits. */
  get flags(): number {
    return this.#model.flags;
  }

  /** Bytes of its state. */
  get size(): number {
    return this.#model.size;
  }

  /** `VFIO_DEVICE_STATE_*`. */
  get state(): number {
    return this.#state;
  }

  /** Whether it is in a pre-copy state. */
  get precopy(): boolean {
    return this.#state === VFIO_DEVICE_STATE_PRE_COPY ||
      this.#state === VFIO_DEVICE_STATE_PRE_COPY_P2P;
  }

  /** The answer while it has no data for now: 0, or an errno. */
  get noData(): 0 | "ENOMSG" {
    return this.#model.noData;
  }

  /**
   * Moves it to another state, step by step. Where one is refused it stays in
   * between.
   *
   * @param to The state.
   * @param process Gets the file, where the last step opens one.
   * @returns The file's descriptor, or -1.
   */
  set(to: number, process: Process): number {
    let fd = -1;
    while (this.#state !== to) {
      const next = nextState(this.#state, to, this.flags);
      fd = this.#step(next, process);
      this.#state = next;
    }
    return fd;
  }

  /** Called when the device is given to its first user. */
  opened(): void {
    if (this.#model.runsWhenOpened) this.reset();
  }

  /** Called when the last user of the device is gone. */
  closed(): void {
    this.tellsReinit = false;
    this.#endFiles();
  }

  /** Has the device run. Its files are of no use any more. */
  reset(): void {
    this.#state = VFIO_DEVICE_STATE_RUNNING;
    this.#endFiles();
  }

  /** Has the device fail, from which only a reset helps. */
  fail(): void {
    this.#state = VFIO_DEVICE_STATE_ERROR;
    this.#endFiles();
  }

  #step(next: number, process: Process): number {
    const loads = this.#state === VFIO_DEVICE_STATE_RESUMING;
    switch (next) {
      case VFIO_DEVICE_STATE_PRE_COPY:
      case VFIO_DEVICE_STATE_PRE_COPY_P2P:
        return this.precopy ? -1 : this.#save(process);
      case VFIO_DEVICE_STATE_STOP_COPY: {
        const fd = this.#saving === undefined ? this.#save(process) : -1;
        this.#saving!.data.stop();
        return fd;
      }
      case VFIO_DEVICE_STATE_RESUMING:
        return this.#load(process);
      case VFIO_DEVICE_STATE_STOP:
        if (loads) (this.#loading ?? crash()).data.finish();
    }
    this.#endFiles();
    return -1;
  }

  #save(process: Process): number {
    const data = this.#model.save();
    const file = new SavingFile(this, data);
    this.#saving = { data, file };
    return process.install(file, O_RDONLY);
  }

  #load(process: Process): number {
    const data = this.#model.load();
    const file = new LoadingFile(data);
    this.#loading = { data, file };
    return process.install(file, O_WRONLY);
  }

  #endFiles(): void {
    for (const open of [this.#saving, this.#loading]) {
      if (open !== undefined) open.file.disabled = true;
    }
    this.#saving?.data.end();
    this.#saving = undefined;
    this.#loading = undefined;
  }
}

/** The sample reads a load's data without asking whether there is any. */
function crash(): never {
  throw new Error(
    "A real kernel would crash: the process that has begun to load a state " +
      "is gone, and only a reset leads out",
  );
}
