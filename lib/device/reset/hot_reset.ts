/**
 * Hot resets: of a device with all that shares its bus or slot.
 *
 * @module
 */

import { hotReset, readHotReset } from "../../../backends/hot_reset.ts";
import type { Ownership } from "../../../backends/backend.ts";
import { registered, registeredIn } from "../../dma/registry.ts";
import { toVfioError, VfioError } from "../../errors.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { isBusMaster } from "../bus_master.ts";
import { type HotResetObstacle, obstacleOf } from "./obstacle.ts";
import { RESETTING, whileLocked } from "./reset.ts";
import { enrolled, type ResetTarget } from "./reset_target.ts";

/** A function that a hot reset takes. */
export interface AffectedFunction {
  /** The function. It tells its address, its driver and its IOMMU group. */
  readonly function: PciFunction;
  /** Whether this process has it attached. */
  readonly attached: boolean;
  /** What keeps the hot reset from being done, and what to do about it. */
  readonly obstacle: HotResetObstacle | undefined;
}

/**
 * Resets a device's bus or slot, and so a device that cannot be reset alone:
 * `VfioDevice.hotReset`.
 *
 * @example Reset a graphics card with all that shares its slot
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using card = await VfioDevice.attach("0000:01:00.0", space);
 * const affected = card.hotReset.affected();
 * for (const { function: fn, obstacle } of affected) {
 *   console.log(fn.address, obstacle?.problem ?? "can be reset");
 * }
 * if (affected.every(({ obstacle }) => obstacle === undefined)) {
 *   await card.hotReset.reset();
 * }
 * ```
 */
export class HotReset {
  readonly #target: ResetTarget;

  /** Made by `VfioDevice.hotReset`. */
  constructor(target: ResetTarget) {
    this.#target = target;
  }

  get #name(): string {
    return this.#target.device.name;
  }

  #function(address: string): PciFunction {
    return this.#target.device.space.host.function(address);
  }

  /**
   * The functions that a hot reset takes, by address: all on the device's slot or
   * bus, and below bridges there.
   *
   * @throws {VfioError} `NOT_SUPPORTED` when neither its slot nor its bus can be
   * reset, as on a root bus; `NOT_OWNED` when one of the functions has no IOMMU
   * group; `DEVICE_BUSY` while functions come and go; `DETACHED`, or `KERNEL`.
   */
  affected(): AffectedFunction[] {
    return this.#read().map(({ address, owned }) => {
      const fn = this.#function(address);
      return {
        function: fn,
        attached: registered(fn)?.member !== undefined,
        obstacle: obstacleOf(fn, owned),
      };
    });
  }

  /**
   * Resets all of {@linkcode HotReset.affected}. Every function has to be bound
   * to a VFIO driver, and to be attached by this process, or in the group of one
   * that is.
   *
   * Those that this process has attached, in any address space, do no DMA
   * meanwhile, and their mapped registers throw `INACCESSIBLE`. After it their
   * registers are set back; config space, mappings and interrupts are as before,
   * and so is bus mastering.
   *
   * @throws {VfioError} `NOT_OWNED`, which names the function that is in the way
   * and what to do; `DEVICE_BUSY` while something else keeps one locked;
   * `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  async reset(): Promise<void> {
    this.#assertOwned();
    using turns = new DisposableStack();
    for (const each of this.#attached()) {
      const turn = each.turns.take();
      turns.use(turn instanceof Promise ? await turn : turn);
    }
    // Others can have come and gone meanwhile.
    this.#assertOwned();
    const failures: unknown[] = [];
    {
      using stack = new DisposableStack();
      const attached = this.#attached();
      for (const each of attached) stack.use(each.gate.close(RESETTING));
      for (const each of attached) {
        const allow = stopDma(each);
        stack.defer(() => void failures.push(...attempt(allow)));
      }
      await this.#reset();
    }
    if (failures.length > 0) throw failures[0];
  }

  async #reset(): Promise<void> {
    const { ownership } = this.#target;
    // Of a function that is not attached, something else in its group is.
    const owned = this.#read()
      .flatMap(({ address }) => [...this.#ownedInGroup(address)]);
    try {
      await whileLocked(
        this.#name,
        "reset its bus",
        () => hotReset(this.#target.handle(), ownership, owned),
      );
    } catch (error) {
      // A function has left since it was asked.
      const refused = error instanceof VfioError &&
        hasErrno(error.cause, "EINVAL", "EBADF");
      if (refused) this.#assertOwned();
      throw linkDown(this.#name, error) ?? error;
    }
  }

  #assertOwned(): void {
    for (const { function: { address }, obstacle } of this.affected()) {
      if (obstacle === undefined) continue;
      throw new VfioError("NOT_OWNED", {
        device: this.#name,
        problem: address === this.#name
          ? `cannot reset its bus: ${obstacle.problem}`
          : `cannot reset its bus: that would reset ${address}, and ` +
            obstacle.problem,
        hint: obstacle.remedy,
      });
    }
  }

  /** The affected devices that this process has attached, by address. */
  #attached(): ResetTarget[] {
    return this.#read().flatMap(({ address }) => {
      const member = registered(this.#function(address))?.member;
      const target = member && enrolled(member);
      return target?.device.attached ? [target] : [];
    });
  }

  #read() {
    try {
      return readHotReset(
        this.#target.handle(),
        this.#target.ownership,
        (address) => this.#ownedInGroup(address),
      ).sort((a, b) => a.address < b.address ? -1 : 1);
    } catch (error) {
      throw explained(this.#name, error);
    }
  }

  *#ownedInGroup(address: string): Generator<Ownership> {
    const group = this.#function(address).iommuGroup;
    if (group === undefined) return;
    for (const { ownership } of registeredIn(group)) {
      if (ownership !== undefined) yield ownership;
    }
  }
}

/**
 * The error for a bus that was reset, and whose link did not come up again
 * (`pci_bridge_wait_for_secondary_bus()` in `drivers/pci/pci.c`).
 */
function linkDown(device: string, error: unknown): VfioError | undefined {
  if (!(error instanceof VfioError) || !hasErrno(error.cause, "ENOTTY")) {
    return undefined;
  }
  return new VfioError("KERNEL", {
    device,
    problem: "its bus was reset, and its link did not come up again in time",
    hint: "dmesg names the port; detach, and have the bus rescanned",
    cause: error.cause,
  });
}

/** Explains why the kernel does not say what a hot reset takes. */
function explained(device: string, cause: unknown): unknown {
  if (hasErrno(cause, "ENODEV")) {
    return new VfioError("NOT_SUPPORTED", {
      device,
      problem: "neither its slot nor its bus can be reset",
      hint: "the kernel resets what is below a bridge; what is on a root bus " +
        "can only be reset alone",
      cause,
    });
  }
  if (hasErrno(cause, "EPERM")) {
    return new VfioError("NOT_OWNED", {
      device,
      problem: "cannot reset its bus: a function on it is in no IOMMU group",
      hint: "take every function on its bus: host.take()",
      cause,
    });
  }
  if (hasErrno(cause, "EAGAIN")) {
    return new VfioError("DEVICE_BUSY", {
      device,
      problem: "functions come and go on its bus",
      hint: "try again",
      cause,
    });
  }
  return toVfioError(cause, "read what a hot reset takes", device);
}

/**
 * Stops a device's DMA.
 *
 * @returns Allows it again, where it was allowed.
 */
function stopDma({ device }: ResetTarget): () => void {
  if (!isBusMaster(device.config)) return () => {};
  device.setBusMaster(false);
  return () => device.setBusMaster(true);
}

/** Runs a step, and returns its error unless the device was detached. */
function attempt(step: () => void): unknown[] {
  try {
    step();
    return [];
  } catch (error) {
    const detached = error instanceof VfioError && error.code === "DETACHED";
    return detached ? [] : [error];
  }
}
