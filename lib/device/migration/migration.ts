import { toVfioError, VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import {
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  vfio_device_feature_mig_data_size,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
  vfio_device_feature_migration,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
} from "../../uapi/vfio/migration.ts";
import type { FeatureDevice } from "../features/feature_device.ts";
import { request, requestAsync } from "../features/request.ts";
import { load, type LoadOptions } from "./load.ts";
import { type PrecopyInfo, precopyInfo } from "./progress.ts";
import { noPrecopy, Save, type SaveOptions } from "./save.ts";
import { SaveGroup } from "./save_group.ts";
import type { MigrationState } from "./state.ts";
import { Stepper } from "./stepper.ts";

/**
 * Moves a device to another host or process: its state is saved on one side,
 * and loaded into a device of the same kind on the other. Drivers that can are
 * `mlx5_vfio_pci` and others made for one device; `vfio-pci` cannot.
 *
 * @example Move a device's state into another one
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const device = { model: "scratchpad", driver: "mlx5_vfio_pci" };
 * const host = simulate({
 *   functions: { "0000:01:00.2": device, "0000:01:00.3": device },
 * });
 * await using space = new AddressSpace({ host });
 * await using here = await VfioDevice.attach("0000:01:00.2", space);
 * await using there = await VfioDevice.attach("0000:01:00.3", space);
 * const source = await here.migration();
 * const target = await there.migration();
 * // A file, a pipe or a socket may be in between.
 * await source!.save().pipeTo(target!.load());
 * console.log(await source!.state(), await target!.state()); // stop running
 * ```
 */
export class Migration {
  readonly #device: FeatureDevice;
  readonly #stepper: Stepper;
  /** Whether it has the states `running-p2p` and, with pre-copy, `pre-copy-p2p`. */
  readonly p2p: boolean;
  /** Whether its state can be read while it runs: `pre-copy`. */
  readonly precopy: boolean;

  /** The device's name. */
  get name(): string {
    return this.#device.name;
  }

  private constructor(device: FeatureDevice, flags: number) {
    this.#device = device;
    this.#stepper = new Stepper(device);
    this.p2p = (flags & VFIO_MIGRATION_P2P) !== 0;
    this.precopy = (flags & VFIO_MIGRATION_PRE_COPY) !== 0;
  }

  /** What `VfioDevice.migration` gives of a device. */
  static of(device: FeatureDevice): Migration | undefined {
    const data = vfio_device_feature_migration.alloc();
    try {
      request(device.handle, VFIO_DEVICE_FEATURE_MIGRATION, "get", data);
    } catch (error) {
      if (hasErrno(error, "ENOTTY")) return undefined;
      throw toVfioError(error, "ask whether it can migrate", device.name);
    }
    const flags = Number(vfio_device_feature_migration.decode(data).flags);
    const migration = new Migration(device, flags);
    if (migration.precopy) migration.#askForReinit();
    return migration;
  }

  /** Has the kernel tell of new initial data, where it can. */
  #askForReinit(): void {
    const { handle, name } = this.#device;
    try {
      request(handle, VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, "set");
    } catch (error) {
      // Linux before 7.3 does not know it.
      if (hasErrno(error, "ENOTTY")) return;
      throw toVfioError(error, "ask for its initial data", name);
    }
  }

  /**
   * Returns the device's state.
   *
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  state(): Promise<MigrationState> {
    return this.#stepper.state();
  }

  /**
   * Moves the device to another state, by way of those in between
   * (`vfio_mig_get_next_state()` in `drivers/vfio/vfio_main.c`). A device that
   * another process left half saved or half loaded runs first.
   *
   * @param state The state. From `"stop-copy"`, those of pre-copy cannot be
   * reached.
   * @throws {TypeError} If there is no such state, or it is `"error"`.
   * @throws {VfioError} `MIGRATION_FAILED` if the device refused; then it is
   * where it was, or runs, or is in the state that the message names;
   * `NOT_SUPPORTED`, `DETACHED`, `KERNEL`.
   */
  async moveTo(state: MigrationState): Promise<void> {
    if (state === "error") {
      throw new TypeError("Cannot move a device to its error state");
    }
    if (state.startsWith("pre-copy") && !this.precopy) {
      throw noPrecopy(this.#device.name);
    }
    if (state.endsWith("-p2p") && !this.p2p) throw noP2p(this.#device.name);
    await this.#stepper.move(state);
  }

  /**
   * Has the device run, whatever its state is. What cannot be left otherwise
   * (an error, and a half-loaded state) is left by a reset.
   *
   * @throws {VfioError} `MIGRATION_FAILED` if it does not run then, `DETACHED`,
   * or `KERNEL`.
   */
  recover(): Promise<void> {
    return this.#stepper.recover();
  }

  /**
   * Returns how many bytes its state has once it is stopped, estimated;
   * `undefined` before Linux 6.2.
   *
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  async dataSize(): Promise<number | undefined> {
    const data = vfio_device_feature_mig_data_size.alloc();
    const feature = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
    try {
      await this.#stepper.inTurn(() =>
        requestAsync(this.#device.handle, feature, "get", data)
      );
    } catch (error) {
      if (hasErrno(error, "ENOTTY")) return undefined;
      throw toVfioError(error, "ask how long its state is", this.#device.name);
    }
    const { stop_copy_length } = vfio_device_feature_mig_data_size.decode(data);
    return Number(stop_copy_length);
  }

  /**
   * Returns what the device has still to give, estimated. It must be in a
   * pre-copy state.
   *
   * @throws {VfioError} `MIGRATION_FAILED` if it is not, `DETACHED`, `KERNEL`.
   */
  precopyInfo(): Promise<PrecopyInfo> {
    return precopyInfo(this.#stepper);
  }

  /**
   * Saves the device's state. It is stopped for that, with
   * {@linkcode SaveOptions.precopy} at the end only, and stays stopped after the
   * last chunk: `moveTo("running")` takes it back if the other side failed.
   *
   * Cancelling the stream, aborting the signal, and every error leave the
   * device running. A detach in the middle ends the stream with an error.
   *
   * @param options Whether it runs meanwhile, and for how long.
   * @returns The state's bytes. Nothing is done before the first chunk is read.
   * The stream's errors: `MIGRATION_FAILED`, `DEVICE_BUSY` while it is saved or
   * loaded already, `DETACHED`, `KERNEL`, the signal's reason.
   * @throws {RangeError} If the size of a chunk is not positive.
   * @throws {VfioError} `NOT_SUPPORTED` if it cannot be saved while it runs.
   */
  save(options: SaveOptions = {}): ReadableStream<Uint8Array> {
    return this.saveWith([], options)[0]!;
  }

  /**
   * Saves the states of this and other devices, which reach each other by DMA.
   * All of them stop starting such DMA before the first one is stopped, and when
   * one is given up or fails, all run on.
   *
   * @param others The other devices.
   * @param options How they are saved.
   * @returns The bytes of each one's state, this one's first, as of
   * {@linkcode Migration.save}. They can be read one after the other, or at
   * once.
   * @throws {RangeError} If the size of a chunk is not positive.
   * @throws {VfioError} `NOT_SUPPORTED` if one of several cannot stop DMA to
   * others, or cannot be saved while it runs.
   *
   * @example Two devices of a virtual machine
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   * import { simulate } from "@passthru/vfio/sim";
   *
   * const device = { model: "scratchpad", driver: "mlx5_vfio_pci" };
   * const host = simulate({
   *   functions: { "0000:01:00.2": device, "0000:01:00.3": device },
   * });
   * await using space = new AddressSpace({ host });
   * await using one = await VfioDevice.attach("0000:01:00.2", space);
   * await using other = await VfioDevice.attach("0000:01:00.3", space);
   * const first = await one.migration();
   * const second = await other.migration();
   * for (const stream of first!.saveWith([second!])) {
   *   console.log((await new Response(stream).bytes()).length); // => 76
   * }
   * ```
   */
  saveWith(
    others: readonly Migration[],
    options: SaveOptions = {},
  ): ReadableStream<Uint8Array>[] {
    const all = [this, ...others];
    for (const { name, precopy, p2p } of all) {
      if (options.precopy && !precopy) throw noPrecopy(name);
      if (all.length > 1 && !p2p) throw noP2p(name);
    }
    const steppers = all.map((migration) => migration.#stepper);
    const group = new SaveGroup(steppers);
    return steppers.map((stepper) =>
      new Save(stepper, group, options).stream()
    );
  }

  /**
   * Loads a state into the device, which must be of the same kind as the one
   * that it was saved of. When the stream is closed the device has the state and
   * runs.
   *
   * Aborting the stream or the signal, and every error, reset the device: it
   * runs, without the state.
   *
   * @param options Whether it runs after that.
   * @returns Takes the state's bytes. Nothing is done before the first chunk is
   * written. The stream's errors are those of {@linkcode Migration.save}.
   */
  load(options: LoadOptions = {}): WritableStream<Uint8Array> {
    return load(this.#stepper, options);
  }
}

function noP2p(device: string): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device,
    problem: "its driver cannot stop DMA to other devices alone",
    hint: "save it by itself, without devices that it reaches",
  });
}
