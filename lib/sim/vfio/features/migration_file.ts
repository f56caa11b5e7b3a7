import {
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_precopy_info,
  VFIO_PRECOPY_INFO_REINIT,
} from "../../../uapi/vfio/migration.ts";
import type { Ioctl } from "../../../uapi/ioctl.ts";
import type { OpenFile } from "../../fs/file.ts";
import type { LoadedData, SavedData } from "../../models/migration.ts";
import { inMemory, received } from "../../process/argument.ts";
import { refuse } from "../../process/refusal.ts";

/** The device of a {@linkcode SavingFile}. */
export interface SavingDevice {
  /** Whether it is in a pre-copy state. */
  readonly precopy: boolean;
  /** Whether it tells of new initial data. */
  readonly tellsReinit: boolean;
  /** The answer while it has no data for now: 0, or an errno. */
  readonly noData: 0 | "ENOMSG";
}

/** A stream: it has no positions. */
abstract class StreamFile implements OpenFile {
  abstract readonly linkText: string;
  /** Whether its device is in another state now. */
  disabled = false;

  pread(): number {
    return refuse("ESPIPE");
  }

  pwrite(): number {
    return refuse("ESPIPE");
  }

  /** Closing it ends no migration. */
  close(): void {}

  protected assertEnabled(): void {
    if (this.disabled) refuse("ENODEV");
  }
}

/** The file that a device's state is read from. */
export class SavingFile extends StreamFile {
  readonly linkText = "anon_inode:[mig]";
  readonly #device: SavingDevice;
  readonly #data: SavedData;

  /**
   * @param device The device.
   * @param data Its state.
   */
  constructor(device: SavingDevice, data: SavedData) {
    super();
    this.#device = device;
    this.#data = data;
  }

  read(into: Uint8Array): number {
    this.assertEnabled();
    const length = this.#data.read(into);
    const { precopy, noData } = this.#device;
    return length === 0 && precopy && noData !== 0 ? refuse(noData) : length;
  }

  ioctl(operation: Ioctl, argument: Uint8Array | bigint): number {
    if (operation.request !== VFIO_MIG_GET_PRECOPY_INFO.request) {
      return refuse("ENOTTY");
    }
    const { argsz, flags } = received(vfio_precopy_info, argument);
    if (!this.#device.precopy) refuse("EINVAL");
    this.assertEnabled();
    const { initial, dirty } = this.#data;
    const reinit = this.#device.tellsReinit && this.#data.takeReinitialized();
    vfio_precopy_info.encode(inMemory(argument), {
      argsz,
      flags: this.#device.tellsReinit
        ? (reinit ? VFIO_PRECOPY_INFO_REINIT : 0)
        : flags,
      initial_bytes: BigInt(initial),
      dirty_bytes: BigInt(dirty),
    });
    return 0;
  }
}

/** The file that a device's state is written to. */
export class LoadingFile extends StreamFile {
  readonly linkText = "anon_inode:[mig]";
  readonly #data: LoadedData;

  /** @param data Takes the state. */
  constructor(data: LoadedData) {
    super();
    this.#data = data;
  }

  write(from: Uint8Array): number {
    this.assertEnabled();
    return this.#data.write(from);
  }
}
