import { toVfioError } from "../../errors.ts";
import type { SignalOptions } from "../../kernel/abort.ts";
import { Fd } from "../../kernel/fd.ts";
import { EFD_NONBLOCK } from "../../uapi/linux/eventfd.ts";
import {
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  vfio_device_low_power_entry_with_wakeup,
} from "../../uapi/vfio/feature.ts";
import type { RegisterClosure } from "../register_gate.ts";
import type { FeatureDevice } from "./feature_device.ts";
import { featureRefused, requestAsync } from "./request.ts";

/** How a device sleeps. */
export interface SleepOptions {
  /**
   * Whether it stays awake once something has woken it, and tells so:
   * {@linkcode Sleep.woken}. Otherwise it falls asleep again after each access.
   *
   * @default {false}
   */
  readonly wakeup?: boolean;
}

/** Why registers are closed meanwhile. */
const ASLEEP: RegisterClosure = {
  problem: "it sleeps: features.sleep()",
  hint: "wake it, or use the region's own read and write",
};

/**
 * Lets a device sleep.
 *
 * @param device The device.
 * @param options Whether waking it ends its sleep.
 */
export async function sleep(
  device: FeatureDevice,
  { wakeup = false }: SleepOptions = {},
): Promise<Sleep> {
  const { kernel, handle } = device;
  using stack = new DisposableStack();
  // A mapped register of a device that sleeps would end the process by SIGBUS.
  const closed = stack.use(device.gate.close(ASLEEP));
  let event: Fd | undefined;
  try {
    if (wakeup) {
      event = stack.use(Fd.adopt(kernel, kernel.eventfd(0, EFD_NONBLOCK)));
      await requestAsync(
        handle,
        VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
        "set",
        vfio_device_low_power_entry_with_wakeup.alloc({
          wakeup_eventfd: event.number,
        }),
      );
    } else {
      await requestAsync(handle, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, "set");
    }
  } catch (error) {
    throw featureRefused(device, "low power state", "let it sleep", error);
  }
  void stack.move();
  return new Sleep(device, closed, event);
}

/** A device that may sleep, until this is disposed of. */
export class Sleep implements AsyncDisposable {
  readonly #device: FeatureDevice;
  readonly #closed: Disposable;
  readonly #event: Fd | undefined;
  readonly #released: () => void;
  #waking: Promise<void> | undefined;

  /** Made by `Features.sleep`. */
  constructor(
    device: FeatureDevice,
    closed: Disposable,
    event: Fd | undefined,
  ) {
    this.#device = device;
    this.#closed = closed;
    this.#event = event;
    // The kernel wakes a device as its last descriptor is closed.
    this.#released = device.hold("its sleep", () => {
      this.#waking = Promise.resolve();
      event?.close();
    });
  }

  /**
   * Waits until something has woken the device: an access, or the device
   * itself. It stays awake then. A device that never slept is not woken.
   *
   * @param options Gives the wait up.
   * @throws {TypeError} If it does not sleep with `wakeup`.
   * @throws {VfioError} `DETACHED`.
   * @throws The signal's reason.
   */
  async woken(options?: SignalOptions): Promise<void> {
    if (this.#event === undefined) {
      throw new TypeError(
        "Cannot wait until the device is woken: let it sleep with " +
          "`{ wakeup: true }`",
      );
    }
    const { kernel, handle: _attached } = this.#device;
    for await (const _ of kernel.watch(this.#event.number, options)) break;
    this.#closed[Symbol.dispose]();
  }

  /**
   * Wakes the device, as a detach does. When this returns it stays awake.
   * Calling it again does nothing.
   *
   * @throws {VfioError} `KERNEL`, and it can be called again.
   */
  async wake(): Promise<void> {
    this.#waking ??= this.#wake();
    try {
      await this.#waking;
    } catch (error) {
      this.#waking = undefined;
      throw error;
    }
  }

  /** The same as {@linkcode Sleep.wake}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.wake();
  }

  async #wake(): Promise<void> {
    const { handle, name } = this.#device;
    try {
      await requestAsync(handle, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, "set");
    } catch (error) {
      throw toVfioError(error, "wake it", name);
    }
    this.#closed[Symbol.dispose]();
    this.#released();
    this.#event?.[Symbol.dispose]();
  }
}
