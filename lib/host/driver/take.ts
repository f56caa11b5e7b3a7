/**
 * Taking a PCI function from its driver, and giving it back.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { Deadline, type WaitOptions } from "./deadline.ts";
import { type Binding, DriverMove, type DriverState } from "./driver.ts";
import { exclusively, type Turn } from "./exclusive.ts";
import { refuseInUse } from "../guards/refuse.ts";
import { explainNoGroup, noIommuModeOn } from "../iommu/no_iommu.ts";
import { nodePaths } from "../iommu/nodes.ts";
import type { PciFunction } from "../pci/function.ts";
import { exists } from "../sysfs.ts";
import {
  assertDriverName,
  isBridgeClass,
  isVfioDriver,
} from "./vfio_driver.ts";

/** How a function is taken. */
export interface TakeOptions extends WaitOptions {
  /** The driver that gets it. Default: `"vfio-pci"`. */
  readonly driver?: string;
  /**
   * Whether it is taken even where the host uses it, with a mounted file system
   * on it for example. Default: false.
   */
  readonly insist?: boolean;
}

/**
 * A PCI function that was taken from its driver. It goes back when it is
 * disposed of.
 */
export class TakenFunction implements AsyncDisposable {
  /** The function. */
  readonly function: PciFunction;
  /** The driver that has it now. */
  readonly driver: string;
  readonly #before: DriverState;
  #returning: Promise<void> | undefined;

  /**
   * Made by {@linkcode Host.take}.
   *
   * @param taken The function.
   * @param driver The driver that has it now.
   * @param before How it was.
   */
  constructor(taken: PciFunction, driver: string, before: DriverState) {
    this.function = taken;
    this.driver = driver;
    this.#before = before;
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
   * back, calling this again does nothing. After a failure the function is
   * where it was before the call, and this can be called again.
   *
   * @param options The time limit and a signal.
   * @throws {VfioError} `DEVICE_BUSY` when a process still has it open, or its
   * group, `WRONG_DRIVER` when somebody else gave it to another driver
   * meanwhile, `DRIVER_FAILED`, `DEVICE_NOT_FOUND`, `PERMISSION_DENIED`, or
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
    if (this.#before.driver === this.driver) return;
    const deadline = new Deadline(options);
    await inTurn(this.function, deadline, async (turn) => {
      const move = new DriverMove(this.function, deadline, turn);
      let now: DriverState | undefined;
      const taken = { driver: this.driver, override: this.driver };
      try {
        now = await move.state();
        await move.restore(this.#before, taken, now);
      } catch (error) {
        // The function is to go back anyway, so a late write continues with
        // that.
        if (restoreLater(move, this.#before, taken, turn)) throw error;
        if (now === undefined) throw error;
        throw await undo(error, move, now, this.#before, turn);
      }
    });
  }

  /** Gives it back: {@linkcode TakenFunction.giveBack}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.giveBack();
  }
}

/**
 * Takes a PCI function from its driver: {@linkcode Host.take}.
 *
 * @param fn The function.
 * @param options The driver, the time limit and a signal.
 */
export async function take(
  fn: PciFunction,
  options: TakeOptions,
): Promise<TakenFunction> {
  const { driver = "vfio-pci" } = options;
  assertDriverName(driver);
  const deadline = new Deadline(options);
  return await inTurn(fn, deadline, async (turn) => {
    const move = new DriverMove(fn, deadline, turn);
    const before = await move.state();
    if (before.driver === driver) {
      await nodesOf(fn, driver, deadline);
      return new TakenFunction(fn, driver, before);
    }
    refuseHopeless(fn, driver);
    if (!options.insist) await refuseUsed(fn, before, deadline, options.signal);
    try {
      await move.change(before, driver);
      await nodesOf(fn, driver, deadline);
    } catch (error) {
      const taken = { driver, override: driver };
      throw await undo(error, move, before, taken, turn);
    }
    return new TakenFunction(fn, driver, before);
  });
}

/**
 * Makes a change to a function's driver when every earlier one of this process
 * is over.
 *
 * @param fn The function.
 * @param deadline How long to wait for the turn.
 * @param change What to do.
 */
export function inTurn<T>(
  fn: PciFunction,
  deadline: Deadline,
  change: (turn: Turn) => Promise<T>,
): Promise<T> {
  const late = () =>
    new VfioError("TIMED_OUT", {
      device: fn.address,
      problem: "an earlier change of its driver did not end in " +
        `${deadline.timeout} ms`,
    });
  return exclusively(fn.host.kernel, fn.path, deadline, late, change);
}

/**
 * Refuses a driver that is certain not to bind a function: one that is not
 * loaded, or a VFIO driver for a bridge or for a function without an IOMMU.
 */
export function assertBindable(fn: PciFunction, driver: string): void {
  assertDriverName(driver);
  const { address, host: { kernel } } = fn;
  if (!exists(kernel, `/sys/bus/pci/drivers/${driver}`)) {
    throw new VfioError("DRIVER_FAILED", {
      device: address,
      problem: `the driver ${driver} is not loaded`,
      hint: `modprobe ${driver}`,
    });
  }
  if (!isVfioDriver(driver)) return;
  // vfio_group_find_or_alloc() in drivers/vfio/group.c
  if (fn.iommuGroup === undefined && !noIommuModeOn(kernel)) {
    throw new VfioError("NO_IOMMU_GROUP", {
      device: address,
      ...explainNoGroup(fn),
    });
  }
  if (isBridgeClass(fn.class)) {
    throw new VfioError("DRIVER_FAILED", {
      device: address,
      problem: "it is a bridge, and VFIO drivers refuse bridges",
      hint: "take the functions behind it",
    });
  }
}

/**
 * Refuses a take that is certain to fail, before the host loses the function.
 */
export function refuseHopeless(fn: PciFunction, driver: string): void {
  assertBindable(fn, driver);
  if (!isVfioDriver(driver)) return;
  const { address } = fn;
  // vfio_pci_core_register_device() in drivers/vfio/pci/vfio_pci_core.c; and
  // most drivers take their virtual functions with them when they go.
  const { length } = fn.virtualFunctions;
  if (length > 0) {
    throw new VfioError("DRIVER_FAILED", {
      device: address,
      problem: `${driver} refuses functions that have virtual functions, ` +
        `and this one has ${length}`,
      hint: `take those, or remove them: echo 0 > ${fn.path}/sriov_numvfs`,
    });
  }
}

/** Refuses a function that the host uses, unless the caller insists. */
async function refuseUsed(
  fn: PciFunction,
  { driver }: DriverState,
  { left }: Deadline,
  signal: AbortSignal | undefined,
): Promise<void> {
  // When it leaves a VFIO driver, the move itself waits for the processes that
  // have it open.
  if (driver !== undefined && isVfioDriver(driver)) return;
  await refuseInUse(
    fn.host,
    [fn],
    [],
    { timeout: Math.max(1, left), ...(signal && { signal }) },
    ([address]) => `insist on it: host.take("${address}", { insist: true })`,
  );
}

/** Waits until the nodes that the kernel has announced exist. */
export async function nodesOf(
  fn: PciFunction,
  driver: string,
  deadline: Deadline,
): Promise<void> {
  if (!isVfioDriver(driver)) return;
  const missing = () =>
    nodePaths([fn]).filter((path) => !exists(fn.host.kernel, path));
  await deadline.until(
    () => missing().length === 0 ? true : undefined,
    () =>
      new VfioError("TIMED_OUT", {
        device: fn.address,
        problem: `${missing().join(" and ")} did not appear in ` +
          `${deadline.timeout} ms`,
        hint: "mount devtmpfs on /dev; in a container, let its runtime add " +
          "the nodes",
      }),
  );
}

/**
 * Brings the function back to how it was after `error`, and gives the error to
 * throw.
 */
async function undo(
  error: unknown,
  move: DriverMove,
  before: DriverState,
  change: Binding,
  turn: Turn,
): Promise<unknown> {
  if (restoreLater(move, before, change, turn)) return error;
  try {
    await restore(move.function, before, change, turn);
    return error;
  } catch (second) {
    const messages = [error, second].map((e) => (e as Error).message);
    return new VfioError(
      error instanceof VfioError ? error.code : "DRIVER_FAILED",
      {
        device: move.function.address,
        problem: "its driver could neither be changed nor restored: " +
          messages.join("\n"),
        cause: new AggregateError([error, second]),
      },
    );
  }
}

/**
 * Where a write ran out of time, brings the function back to how it was once
 * the kernel is done with that write.
 *
 * @returns Whether there was one.
 */
function restoreLater(
  { pending, function: fn }: DriverMove,
  before: DriverState,
  change: Binding,
  turn: Turn,
): boolean {
  if (pending === undefined) return false;
  turn.keep(pending.then(() => restore(fn, before, change, turn)));
  return true;
}

// It has a time limit of its own and no signal, since the limit or the signal
// ended the change.
async function restore(
  fn: PciFunction,
  before: DriverState,
  change: Binding,
  turn: Turn,
): Promise<void> {
  await new DriverMove(fn, new Deadline(), turn).restore(before, change);
}
