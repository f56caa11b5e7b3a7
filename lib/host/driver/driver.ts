/**
 * Moving a PCI function from one driver to another.
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
import { nodePaths } from "../iommu/nodes.ts";
import { type Opener, openers, openersText } from "../openers.ts";
import { overrideOf, type PciFunction } from "../pci/function.ts";
import {
  exists,
  ifPresent,
  linkName,
  sysfsError,
  withoutNewline,
} from "../sysfs.ts";
import {
  assertDriverName,
  isVfioDriver,
  takesNothingByItself,
} from "./vfio_driver.ts";

/** The state of a function that a change of driver changes. */
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

/** A function's driver and its override. */
export type Binding = Pick<DriverState, "driver" | "override">;

/**
 * How a function is bound now.
 *
 * @param fn The function.
 * @param deadline How long that may take: before Linux 7.0 the read waits while
 * somebody moves the function.
 * @throws {VfioError} `TIMED_OUT`, `DEVICE_NOT_FOUND`, or `PERMISSION_DENIED`.
 */
export async function readDriverState(
  fn: PciFunction,
  deadline: Deadline = new Deadline(),
): Promise<DriverState> {
  return await new DriverMove(fn, deadline, new Turn()).state();
}

/** How long binding is tried again when the driver refuses, in ms. */
const BIND_PATIENCE = 1500;

/**
 * The writes that move a function. Each can block for as long as the drivers
 * take. `driver_override` is no exception: writing it waits for the device's
 * lock, and so does reading it before Linux 7.0. Each is therefore made outside
 * the event loop, with a time limit.
 */
export class DriverMove {
  /** The function that moves. */
  readonly function: PciFunction;
  readonly #deadline: Deadline;
  readonly #turn: Turn;
  #pending: Promise<void> | undefined;

  /**
   * Makes a move; nothing is changed yet.
   *
   * @param fn The function that moves.
   * @param deadline How long that may take.
   * @param turn The right to move it.
   */
  constructor(fn: PciFunction, deadline: Deadline, turn: Turn) {
    this.function = fn;
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

  /** How the function is bound now. */
  async state(): Promise<DriverState> {
    const override = await this.#readOverride();
    const { driver } = this.function;
    return { driver, override, powerControl: this.#readPowerControl() };
  }

  async #readOverride(): Promise<string | undefined> {
    const path = `${this.function.path}/driver_override`;
    const reading = this.#kernel.readFileAsync(path)
      .then((text) => overrideOf(withoutNewline(path, text)));
    return await this.#wait(reading, () => this.#late(path));
  }

  #readPowerControl(): string | undefined {
    const path = `${this.function.path}/power/control`;
    return ifPresent(() => withoutNewline(path, this.#kernel.readFile(path)));
  }

  /**
   * Moves the function to `driver`.
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
    const now = this.function.driver;
    if (now !== undefined && now !== driver) await this.#unbind(now);
    if (driver !== undefined) await this.#bind(driver);
  }

  /**
   * Waits until nobody uses the function, or its group, through VFIO.
   *
   * @throws {VfioError} `DEVICE_BUSY` when it is still used when the time is
   * over.
   */
  async released(): Promise<void> {
    await this.#released(this.function.driver);
  }

  /**
   * Brings the function back to how it was, from any point of a change.
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
      await this.#write(`${this.function.path}/power/control`, powerControl);
    }
  }

  /**
   * Waits until nobody uses the function, or its group, through VFIO. Unbinding
   * it does not return before that, and after a signal for the unbinding
   * process nothing interrupts the wait (`vfio_unregister_group_dev()` in
   * `drivers/vfio/vfio_main.c`): a process that uses the function itself would
   * wait for ever. While the group is in use, no other driver can bind the
   * function either.
   */
  async #released(driver: string | undefined): Promise<void> {
    if (driver === undefined || !isVfioDriver(driver)) return;
    const nodes = this.#groupNodes();
    let holders: Opener[] = [];
    await this.#deadline.until(() => {
      holders = openers(this.#kernel, nodes);
      if (this.#holdsOne(holders)) throw this.#busy(nodes, holders);
      return holders.length === 0 ? true : undefined;
    }, () => this.#busy(nodes, holders));
  }

  get #kernel(): Kernel {
    return this.function.host.kernel;
  }

  /** All nodes through which its group can be in use. */
  #groupNodes(): string[] {
    const { function: fn } = this;
    const others = fn.iommuGroup?.devices ?? [];
    return nodePaths([fn, ...others.filter(({ path }) => path !== fn.path)]);
  }

  #holdsOne(holders: readonly Opener[]): boolean {
    const self = Number(linkName(this.#kernel, "/proc/self"));
    return holders.some(({ pid }) => pid === self);
  }

  #busy(
    nodes: readonly string[],
    holders: readonly Opener[],
    cause?: unknown,
  ): VfioError {
    return this.#error("DEVICE_BUSY", {
      problem: `${nodes.join(" or ")} is open in ${openersText(holders)}`,
      hint: this.#holdsOne(holders)
        ? "this process has to detach every device of its group first"
        : "end that process, or let it close the device",
      cause,
    });
  }

  /** Sets the only driver that may bind it; none for `undefined`. */
  async #override(driver: string | undefined): Promise<void> {
    // An empty write would not reach the kernel.
    const path = `${this.function.path}/driver_override`;
    await this.#write(path, driver ?? "\n");
  }

  async #unbind(driver: string): Promise<void> {
    const path = `/sys/bus/pci/drivers/${driver}/unbind`;
    try {
      await this.#write(path, this.function.address);
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
      if (!hasErrno(cause, "ENODEV") || this.function.driver === driver) {
        throw error;
      }
    }
  }

  /**
   * Binds it to `driver` by name. `drivers_probe` would take the first driver
   * that matches, and does not say why none did.
   */
  async #bind(driver: string): Promise<void> {
    const { function: fn } = this;
    const path = `/sys/bus/pci/drivers/${driver}/bind`;
    for (let delay = 25;; delay *= 2) {
      let failure: unknown;
      try {
        await this.#write(path, fn.address);
      } catch (error) {
        failure = error;
        if (causeOf(error) === undefined) throw error;
      }
      const now = fn.driver;
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
        throw this.#bindError(driver, failure);
      }
      await this.#deadline.pause(
        delay,
        () => this.#bindError(driver, failure),
      );
    }
  }

  #bindError(driver: string, failure: unknown): unknown {
    const { function: fn } = this;
    const cause = causeOf(failure);
    if (hasErrno(cause, "EACCES", "EPERM", "EROFS")) return failure;
    if (!exists(this.#kernel, fn.path)) {
      return this.#error("DEVICE_NOT_FOUND", {
        problem: "it was removed from the host meanwhile",
        cause,
      });
    }
    const nodes = this.#groupNodes();
    const holders = openers(this.#kernel, nodes);
    if (hasErrno(cause, "EBUSY") && holders.length > 0) {
      return this.#busy(nodes, holders, cause);
    }
    return this.#error("DRIVER_FAILED", {
      problem: `the driver ${driver} did not take it` +
        (hasErrno(cause, "ENOENT") ? " and is no longer loaded" : ""),
      hint: `the kernel's log says why: dmesg | grep ${fn.address}`,
      cause,
    });
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
      throw sysfsError(error, this.function.address);
    }
  }

  #late(path: string): VfioError {
    const nodes = this.#groupNodes();
    const holders = openers(this.#kernel, nodes);
    return this.#error("TIMED_OUT", {
      problem: `the kernel did not finish the access to ${path} in ` +
        `${this.#deadline.timeout} ms` +
        (holders.length === 0
          ? ""
          : `; ${nodes.join(" or ")} is open in ${openersText(holders)}`),
      hint: "the kernel finishes it once nothing uses the device, and the " +
        "function is then bound as before",
    });
  }

  #error(code: VfioErrorCode, details: VfioErrorDetails): VfioError {
    return new VfioError(code, { ...details, device: this.function.address });
  }
}

/** The kernel's answer behind an error, if it comes from the kernel. */
function causeOf(error: unknown): KernelError | undefined {
  const cause = error instanceof VfioError ? error.cause : error;
  return cause instanceof KernelError ? cause : undefined;
}
