/**
 * Giving a device back to its driver.
 *
 * @module
 */

import { toVfioError } from "../../errors.ts";
import { lockedTogether } from "../journal/shared_lock.ts";
import type { HostDevice } from "../device.ts";
import { Deadline, type WaitOptions } from "../driver/deadline.ts";
import { DriverMove, type DriverState } from "../driver/driver.ts";
import { inTurn, type Turn } from "../driver/exclusive.ts";
import type { TakeRecord } from "./record.ts";
import { restoreLater, undone } from "./undo.ts";

/**
 * A device that was taken from its driver. It goes back when it is disposed of.
 * Where the process ends without that, or is killed, `passthru restore` gives
 * it back.
 */
export class TakenDevice implements AsyncDisposable {
  /** The device. */
  readonly device: HostDevice;
  /** The driver that has it now. */
  readonly driver: string;
  readonly #before: DriverState;
  readonly #record: TakeRecord | undefined;
  #returning: Promise<void> | undefined;

  /**
   * Made by {@linkcode Host.take}.
   *
   * @param device The device.
   * @param driver The driver that has it now.
   * @param before How it was.
   * @param record What the journal has of it; nothing where the driver had it
   * before.
   */
  constructor(
    device: HostDevice,
    driver: string,
    before: DriverState,
    record?: TakeRecord,
  ) {
    this.device = device;
    this.driver = driver;
    this.#before = before;
    this.#record = record;
  }

  /** The driver that had it; `undefined` when it had none. */
  get previousDriver(): string | undefined {
    return this.#before.driver;
  }

  /** Its `driver_override` before; `undefined` when it had none. */
  get previousOverride(): string | undefined {
    return this.#before.override;
  }

  /**
   * Gives it back to the driver that had it; unbinds it if it had none. Nothing
   * is done where it had the wanted driver before it was taken. Once it is
   * back, calling this again does nothing. After a failure the device is where
   * it was before the call, and this can be called again.
   *
   * @param options The time limit and a signal.
   * @throws {VfioError} `DEVICE_BUSY` when a process still has it open, or its
   * group, `WRONG_DRIVER` when somebody else gave it to another driver
   * meanwhile, `LOCKED` when another process is changing the host,
   * `DRIVER_FAILED`, `DEVICE_NOT_FOUND`, `PERMISSION_DENIED`, `KERNEL`, or
   * `TIMED_OUT`.
   */
  async giveBack(options: WaitOptions = {}): Promise<void> {
    this.#returning ??= this.#giveBack(options).catch((error) => {
      this.#returning = undefined;
      throw error;
    });
    await this.#returning;
  }

  async #giveBack(options: WaitOptions): Promise<void> {
    const { device } = this;
    const record = this.#record;
    if (record === undefined) return;
    const deadline = new Deadline(options);
    try {
      await lockedTogether(
        device.host.kernel,
        deadline,
        () =>
          inTurn(
            device,
            deadline,
            (turn) => this.#giveBackInTurn(record, deadline, turn),
          ),
      );
    } catch (error) {
      throw toVfioError(error, "give back", device.name);
    }
  }

  async #giveBackInTurn(
    record: TakeRecord,
    deadline: Deadline,
    turn: Turn,
  ): Promise<void> {
    const move = new DriverMove(this.device, deadline, turn);
    const before = this.#before;
    const taken = { driver: this.driver, override: this.driver };
    let now: DriverState | undefined;
    try {
      now = await move.state();
      await move.restore(before, taken, now);
    } catch (error) {
      const onBack = () => record.drop();
      // The device is to go back anyway, so a late write continues with that.
      if (restoreLater({ move, turn, before, taken, onBack })) throw error;
      if (now === undefined) throw error;
      throw await undone(error, { move, turn, before: now, taken: before });
    }
    record.drop();
  }

  /** Gives it back: {@linkcode TakenDevice.giveBack}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.giveBack();
  }
}
