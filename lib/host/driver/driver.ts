/**
 * Moving a device from one driver to another.
 *
 * @module
 */

import {
  VfioError,
  type VfioErrorCode,
  type VfioErrorDetails,
} from "../../errors.ts";
import { hasErrno, KernelError } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { Deadline } from "./deadline.ts";
import { Turn } from "./exclusive.ts";
import type { HostDevice } from "../device.ts";
import { openers, openersText } from "../openers.ts";
import { overrideOf } from "../pci/function.ts";
import { ifPresent, sysfsError, withoutNewline } from "../sysfs.ts";
import { bindError, causeOf } from "./bind_error.ts";
import { groupNodes, untilReleased } from "./in_use.ts";
import { isOverridable, overridePath } from "./override.ts";
import {
  assertDriverName,
  isVfioDriver,
  takesNothingByItself,
} from "./vfio_driver.ts";

/** The state of a device that a change of driver changes. */
export interface DriverState {
  /** The driver that it is bound to. */
  readonly driver: string | undefined;
  /** The only driver that may bind it. */
  readonly override: string | undefined;
  /**
   * Whether it may be suspended while nobody uses it, `"auto"` or `"on"`. The
   * VFIO drivers set it to `"auto"` when they come and to `"on"` when they go
   * (`drivers/vfio/pci/vfio_pci_core.c`).
   */
  readonly powerControl: string | undefined;
}

/** A device's driver and its override. */
export type Binding = Pick<DriverState, "driver" | "override">;

/**
 * How a device is bound now.
 *
 * @param device The device.
 * @param deadline How long that may take: before Linux 7.0 the read waits while
 * somebody moves the device.
 * @throws {VfioError} `TIMED_OUT`, `DEVICE_NOT_FOUND`, or `PERMISSION_DENIED`.
 */
export async function readDriverState(
  device: HostDevice,
  deadline: Deadline = new Deadline(),
): Promise<DriverState> {
  return await new DriverMove(device, deadline, new Turn()).state();
}

/** How long binding is tried again when the driver refuses, in ms. */
const BIND_PATIENCE = 1500;

/**
 * The writes that move a device, on any bus. Each can block for as long as the drivers
 * take. `driver_override` is no exception: writing it waits for the device's
 * lock, and so does reading it before Linux 7.0. Each is therefore made outside
 * the event loop, with a time limit.
 */
export class DriverMove {
  /** The device that moves. */
  readonly device: HostDevice;
  readonly #deadline: Deadline;
  readonly #turn: Turn;
  #pending: Promise<void> | undefined;

  /**
   * Makes a move; nothing is changed yet.
   *
   * @param device The device that moves.
   * @param deadline How long that may take.
   * @param turn The right to move it.
   */
  constructor(device: HostDevice, deadline: Deadline, turn: Turn) {
    this.device = device;
    this.#deadline = deadline;
    this.#turn = turn;
  }

  /**
   * The write or read that ran out of time, if one did; settled when the kernel
   * is done with it. It holds the device's lock until then, and any further
   * call would wait for that.
   */
  get pending(): Promise<void> | undefined {
    return this.#pending;
  }

  /** How the device is bound now. */
  async state(): Promise<DriverState> {
    const override = await this.#readOverride();
    const { driver } = this.device;
    return { driver, override, powerControl: this.#readPowerControl() };
  }

  async #readOverride(): Promise<string | undefined> {
    if (!isOverridable(this.device)) return undefined;
    const path = overridePath(this.device);
    const reading = this.#kernel.readFileAsync(path)
      .then((text) => overrideOf(withoutNewline(path, text)));
    return await this.#wait(reading, () => this.#late(path));
  }

  #readPowerControl(): string | undefined {
    const path = `${this.device.path}/power/control`;
    return ifPresent(() => withoutNewline(path, this.#kernel.readFile(path)));
  }

  /**
   * Moves the device to `driver`.
   *
   * @param before How it is bound now.
   * @param driver The driver that gets it; none for `undefined`.
   */
  async change(before: DriverState, driver: string | undefined): Promise<void> {
    if (driver !== undefined) assertDriverName(driver);
    await this.#released(before.driver);
    // Set before it is unbound, since udev may bind it to any driver in
    // between.
    if (driver !== undefined) await this.#override(driver);
    // A driver that was probing it had its lock, and may be bound by now.
    const now = this.device.driver;
    if (now !== undefined && now !== driver) await this.#unbind(now);
    if (driver !== undefined) await this.#bind(driver);
  }

  /**
   * Waits until nobody uses the device, or its group, through VFIO.
   *
   * @throws {VfioError} `DEVICE_BUSY` when it is still used when the time is
   * over.
   */
  async released(): Promise<void> {
    await this.#released(this.device.driver);
  }

  /**
   * Brings the device back to how it was, from any point of a change.
   *
   * @param before How it was.
   * @param change How it was, or was to be, after the change.
   * @param now How it is, where that was just read.
   * @throws {VfioError} `WRONG_DRIVER` when somebody else has moved it since.
   */
  async restore(
    before: DriverState,
    change: Binding,
    now?: Binding,
  ): Promise<void> {
    const { driver, override } = now ?? await this.state();
    if (
      driver !== undefined && ![change.driver, before.driver].includes(driver)
    ) {
      // This library's override would keep it from that driver the next time.
      if (override !== undefined && override === change.override) {
        await this.#override(before.override);
      }
      throw this.#error("WRONG_DRIVER", {
        problem: `it was moved from ${change.driver ?? "no driver"} to ` +
          `${driver} meanwhile, and is left there`,
      });
    }
    const ours = [before, change].flatMap((state) => [
      state.driver,
      state.override,
    ]);
    if (!ours.includes(override)) {
      throw this.#error("WRONG_DRIVER", {
        problem: "its driver_override was changed " +
          (override === undefined ? "" : `to ${override} `) +
          `meanwhile, and it is left on ${driver ?? "no driver"}`,
      });
    }
    if (driver !== before.driver) {
      await this.#released(driver);
      // A driver that it was bound to against its override takes it again
      // only where that names the driver. So does one without ids of its own:
      // some clear the override once it has the function.
      const temporaryOverride = before.override !== undefined ||
          before.driver !== undefined && takesNothingByItself(before.driver)
        ? before.driver ?? before.override
        : undefined;
      if (override !== temporaryOverride) {
        await this.#override(temporaryOverride);
      }
      if (driver !== undefined) await this.#unbind(driver);
      if (before.driver !== undefined) await this.#bind(before.driver);
    }
    if (await this.#readOverride() !== before.override) {
      await this.#override(before.override);
    }
    await this.#restorePower(before);
  }

  async #restorePower({ powerControl }: DriverState): Promise<void> {
    const now = this.#readPowerControl();
    if (powerControl !== undefined && now !== powerControl) {
      await this.#write(`${this.device.path}/power/control`, powerControl);
    }
  }

  /**
   * Waits until nobody uses the device, or its group, through VFIO, but those
   * who release it when the kernel asks for it. Unbinding
   * it does not return before that, and after a signal for the unbinding
   * process nothing interrupts the wait (`vfio_unregister_group_dev()` in
   * `drivers/vfio/vfio_main.c`): a process that uses the device itself would
   * wait for ever. While the group is in use, no other driver can bind the
   * device either.
   */
  async #released(driver: string | undefined): Promise<void> {
    if (driver === undefined || !isVfioDriver(driver)) return;
    await untilReleased(this.device, this.#deadline);
  }

  get #kernel(): Kernel {
    return this.device.host.kernel;
  }

  /** Sets the only driver that may bind it; none for `undefined`. */
  async #override(driver: string | undefined): Promise<void> {
    if (!isOverridable(this.device)) return;
    // An empty write would not reach the kernel.
    await this.#write(overridePath(this.device), driver ?? "\n");
  }

  /** A file in the directory of a driver of this bus. */
  #driverFile(driver: string, name: "bind" | "unbind"): string {
    return `/sys/bus/${this.device.bus}/drivers/${driver}/${name}`;
  }

  async #unbind(driver: string): Promise<void> {
    try {
      await this.#write(this.#driverFile(driver, "unbind"), this.device.name);
    } catch (error) {
      const cause = causeOf(error);
      if (hasErrno(cause, "ENOENT")) {
        throw this.#error("DRIVER_FAILED", {
          problem: `the driver ${driver} releases no device while it runs`,
          cause,
        });
      }
      // Somebody else has unbound it already. Binding shows whether that
      // matters.
      if (!hasErrno(cause, "ENODEV") || this.device.driver === driver) {
        throw error;
      }
    }
  }

  /**
   * Binds it to `driver` by name. `drivers_probe` would take the first driver
   * that matches, and does not say why none did.
   */
  async #bind(driver: string): Promise<void> {
    const { device } = this;
    const path = this.#driverFile(driver, "bind");
    for (let delay = 25;; delay *= 2) {
      let failure: unknown;
      try {
        await this.#write(path, device.name);
      } catch (error) {
        failure = error;
        if (causeOf(error) === undefined) throw error;
      }
      const now = device.driver;
      if (now === driver) return;
      if (now !== undefined) {
        throw this.#error("WRONG_DRIVER", {
          problem:
            `it was to be bound to ${driver}, and ${now} bound it meanwhile`,
        });
      }
      // A driver, or a process that ends, releases the device in the
      // background. Until then the next driver is refused.
      const transient = hasErrno(
        causeOf(failure),
        "EBUSY",
        "ENODEV",
        "EAGAIN",
      );
      if (!transient || delay > BIND_PATIENCE) {
        throw bindError(device, driver, failure);
      }
      await this.#deadline.pause(
        delay,
        () => bindError(device, driver, failure),
      );
    }
  }

  /** Writes an attribute, and stops waiting when the time is over. */
  async #write(path: string, text: string): Promise<void> {
    await this.#wait(
      this.#kernel.writeFileAsync(path, text),
      () => this.#late(path),
    );
  }

  /** Waits for the kernel until the time is over. */
  async #wait<T>(work: Promise<T>, late: () => VfioError): Promise<T> {
    try {
      return await this.#deadline.wait(work, late);
    } catch (error) {
      if (!(error instanceof KernelError)) {
        this.#pending = work.then(() => {}, () => {});
        this.#turn.keep(this.#pending);
      }
      throw sysfsError(error, this.device.name);
    }
  }

  #late(path: string): VfioError {
    const nodes = groupNodes(this.device);
    const holders = openers(this.#kernel, nodes);
    return this.#error("TIMED_OUT", {
      problem: `the kernel did not finish the access to ${path} in ` +
        `${this.#deadline.timeout} ms` +
        (holders.length === 0
          ? ""
          : `; ${nodes.join(" or ")} is open in ${openersText(holders)}`),
      hint: "the kernel finishes it once nothing uses the device, and the " +
        "device is then bound as before",
    });
  }

  #error(code: VfioErrorCode, details: VfioErrorDetails): VfioError {
    return new VfioError(code, { ...details, device: this.device.name });
  }
}
