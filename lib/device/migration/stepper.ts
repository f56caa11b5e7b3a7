import { toVfioError, VfioError } from "../../errors.ts";
import { KernelError } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import { RESETTING } from "../reset/reset.ts";
import { VFIO_DEVICE_RESET } from "../../uapi/vfio/device.ts";
import {
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  vfio_device_feature_mig_state,
} from "../../uapi/vfio/migration.ts";
import type { FeatureDevice } from "../features/feature_device.ts";
import { requestAsync } from "../features/request.ts";
import {
  hasData,
  type MigrationState,
  stateName,
  stateNumber,
} from "./state.ts";

/** The states that are the same but for DMA to other devices. */
const QUIET: ReadonlyMap<MigrationState, MigrationState> = new Map([
  ["running", "running-p2p"],
  ["pre-copy", "pre-copy-p2p"],
]);

/**
 * Takes a device from state to state, one move at a time, and keeps the file of
 * its data.
 */
export class Stepper {
  readonly #device: FeatureDevice;
  /** The file of its data, until it leaves the states with one. */
  #data: Fd | undefined;
  /** Lets go of the device, whose detach ends a migration. */
  #released: (() => void) | undefined;
  /** Done when the moves so far are over. */
  #idle: Promise<unknown> = Promise.resolve();
  #transfers = false;

  constructor(device: FeatureDevice) {
    this.#device = device;
  }

  /** The device's name, for errors. */
  get name(): string {
    return this.#device.name;
  }

  /**
   * The file of its data.
   *
   * @throws {VfioError} `DETACHED`, or `MIGRATION_FAILED` if the device has left
   * the states with such a file.
   */
  get data(): Fd {
    if (this.#data === undefined) throw this.#gone();
    return this.#data;
  }

  /**
   * Begins a transfer of its data, of which there is one at a time.
   *
   * @returns Ends the transfer when it is disposed of.
   */
  transfer(): Disposable {
    if (this.#transfers) {
      throw new VfioError("DEVICE_BUSY", {
        device: this.name,
        problem: "its state is being saved or loaded already",
        hint: "cancel that, or wait for its end",
      });
    }
    this.#transfers = true;
    return { [Symbol.dispose]: () => void (this.#transfers = false) };
  }

  /** Returns the state, after the moves that were begun. */
  state(): Promise<MigrationState> {
    return this.inTurn(() => this.#state(this.#device.handle));
  }

  /**
   * Moves the device to a state, after the moves that were begun. On failure it
   * is back where it was or running, or in its error state.
   */
  move(to: MigrationState): Promise<void> {
    return this.#step((handle) => this.#move(handle, to));
  }

  /** Has it start no DMA to other devices, if it runs. */
  quiesce(): Promise<void> {
    return this.#step(async (handle) => {
      const to = QUIET.get(await this.#state(handle));
      if (to !== undefined) await this.#move(handle, to);
    });
  }

  /** Has the device run, whatever its state is. */
  recover(): Promise<void> {
    return this.#step((handle) => this.#recover(handle));
  }

  /** Explains why data could not be read or written. */
  explain(cause: unknown, doing: string): unknown {
    if (!(cause instanceof KernelError)) return cause;
    if (this.#data === undefined) return this.#gone(cause);
    return new VfioError("MIGRATION_FAILED", {
      device: this.name,
      problem: `cannot ${doing}: ${cause.message}`,
      cause,
    });
  }

  /**
   * Has the device run after a failed save or load, and explains that.
   *
   * @param cause Why it failed.
   * @param doing What was being done.
   * @param run Has it run.
   */
  async giveUp(
    cause: unknown,
    doing: string,
    run: () => Promise<void>,
  ): Promise<unknown> {
    await run();
    if (!(cause instanceof VfioError && cause.code === "MIGRATION_FAILED")) {
      return cause;
    }
    const why = cause.cause instanceof KernelError
      ? cause.cause.message
      : cause.problem;
    return new VfioError("MIGRATION_FAILED", {
      device: this.name,
      problem: `cannot ${doing}: ${why}`,
      hint: "it runs, and the same can be tried again",
      cause: cause.cause,
    });
  }

  /** Explains why there is no file of its data. */
  #gone(cause?: unknown): unknown {
    try {
      // Throws once it is detached.
      void this.#device.handle;
    } catch (error) {
      return error;
    }
    return new VfioError("MIGRATION_FAILED", {
      device: this.name,
      problem: "its migration was ended by a move to another state, or a reset",
      hint: "begin anew",
      cause,
    });
  }

  /** Does a step after those that were begun. */
  async inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#idle.then(step);
    this.#idle = done.catch(() => {});
    return await done;
  }

  async #state(handle: Fd): Promise<MigrationState> {
    const data = vfio_device_feature_mig_state.alloc();
    try {
      await requestAsync(
        handle,
        VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
        "get",
        data,
      );
    } catch (error) {
      throw toVfioError(error, "read its migration state", this.name);
    }
    return stateName(vfio_device_feature_mig_state.decode(data).device_state);
  }

  /**
   * Does a step in turn. A detach that begins meanwhile waits for its end: the
   * kernel may be about to open a file.
   */
  #step(step: (handle: Fd) => Promise<void>): Promise<void> {
    return this.inTurn(async () => {
      const { handle } = this.#device;
      this.#released ??= this.#device.hold(
        "its migration",
        () => this.#abandon(handle),
      );
      try {
        await step(handle);
      } finally {
        if (this.#data === undefined) this.#letGo();
      }
    });
  }

  #letGo(): void {
    this.#released?.();
    this.#released = undefined;
  }

  async #move(handle: Fd, to: MigrationState): Promise<void> {
    let from = await this.#state(handle);
    // Another process left it so: its data is gone, and a driver may not expect
    // to be asked to load that.
    if (hasData(from) && this.#data === undefined) {
      await this.#recover(handle);
      from = "running";
    }
    if (from === to) return;
    try {
      await this.#set(handle, to);
    } catch (error) {
      const now = await this.#return(handle, from);
      throw this.#failed(from, to, now, error);
    }
  }

  /** Goes back after a failed move, and returns the state then. */
  async #return(handle: Fd, from: MigrationState): Promise<MigrationState> {
    const now = await this.#state(handle);
    if (now === from || now === "error") return now;
    await this.#set(handle, hasData(from) ? "running" : from).catch(() => {});
    const then = await this.#state(handle);
    if (!hasData(then)) this.#close();
    return then;
  }

  async #set(handle: Fd, to: MigrationState): Promise<void> {
    const data = vfio_device_feature_mig_state.alloc({
      device_state: stateNumber(to),
      data_fd: -1,
    });
    await requestAsync(
      handle,
      VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
      "set",
      data,
    );
    const { data_fd } = vfio_device_feature_mig_state.decode(data);
    if (data_fd < 0 && hasData(to)) return;
    this.#close();
    if (data_fd >= 0) this.#data = Fd.adopt(this.#device.kernel, data_fd);
  }

  #close(): void {
    this.#data?.[Symbol.dispose]();
    this.#data = undefined;
  }

  /** Ends an unfinished migration as its device is detached. */
  async #abandon(handle: Fd): Promise<void> {
    try {
      await this.inTurn(() => this.#recover(handle));
    } catch {
      // Closing the device ends it too.
    } finally {
      this.#close();
      this.#letGo();
    }
  }

  async #recover(handle: Fd): Promise<void> {
    const from = await this.#stateToLeave(handle);
    let cause: unknown;
    try {
      if (from !== "running") await this.#run(handle, from);
    } catch (error) {
      cause = error;
    }
    const now = await this.#state(handle);
    if (!hasData(now)) this.#close();
    if (now !== "running") throw this.#failed(from, "running", now, cause);
  }

  /** The state; where it cannot be told, one that is left as any other. */
  async #stateToLeave(handle: Fd): Promise<MigrationState> {
    try {
      return await this.#state(handle);
    } catch (error) {
      if (this.#data === undefined) throw error;
      return "stop-copy";
    }
  }

  async #run(handle: Fd, from: MigrationState): Promise<void> {
    // A half-loaded state is no state to run in.
    if (from !== "error" && from !== "resuming") {
      try {
        return await this.#set(handle, "running");
      } catch {
        // A reset leads out of every state.
      }
    }
    using _ = this.#device.gate.close(RESETTING);
    await handle.ioctlAsync(VFIO_DEVICE_RESET);
  }

  #failed(
    from: MigrationState,
    to: MigrationState,
    now: MigrationState,
    cause: unknown,
  ): unknown {
    if (cause !== undefined && !(cause instanceof KernelError)) return cause;
    return new VfioError("MIGRATION_FAILED", {
      device: this.name,
      problem: `cannot move it from ${from} to ${to}, and it is in the state ` +
        `${now}: ${cause?.message ?? "the kernel refused nothing"}`,
      hint: now === "error" || now === "resuming"
        ? "have it run: migration.recover()"
        : undefined,
      cause,
    });
  }
}
