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
import type { RegisterClosure } from "../regions/register_gate.ts";
import type { FeatureDevice } from "./feature_device.ts";
import { featureRefused, openHandle, requestAsync } from "./request.ts";

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
  try {
    // A detach that begins meanwhile closes the eventfd.
    const sleep = new Sleep(device, wakeup);
    await sleep[ENTERED];
    return sleep;
  } catch (error) {
    throw featureRefused(device, "low power state", "let it sleep", error);
  }
}

/** What {@linkcode sleep} waits for. */
const ENTERED: unique symbol = Symbol("entered");

/** A device that may sleep, until this is disposed of. */
export class Sleep implements AsyncDisposable {
  readonly #device: FeatureDevice;
  readonly #closed: Disposable;
  readonly #event: Fd | undefined;
  readonly #released: () => void;
  /** Done when the kernel lets it sleep. */
  readonly [ENTERED]: Promise<void>;
  #waking: Promise<void> | undefined;

  /** Given by `Features.sleep`. */
  constructor(device: FeatureDevice, wakeup: boolean) {
    const { kernel, handle } = device;
    this.#device = device;
    this.#event = wakeup
      ? Fd.adopt(kernel, kernel.eventfd(0, EFD_NONBLOCK))
      : undefined;
    // A mapped register of a device that sleeps would end the process by SIGBUS.
    this.#closed = device.gate.close(ASLEEP);
    this[ENTERED] = this.#enter(handle);
    this.#released = device.hold("its sleep", async () => {
      await this[ENTERED].catch(() => {});
      this.#event?.close();
    });
  }

  async #enter(handle: Fd): Promise<void> {
    const event = this.#event;
    try {
      if (event === undefined) {
        await requestAsync(handle, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, "set");
      } else {
        await requestAsync(
          handle,
          VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
          "set",
          vfio_device_low_power_entry_with_wakeup.alloc({
            wakeup_eventfd: event.number,
          }),
        );
      }
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  #release(): void {
    this.#closed[Symbol.dispose]();
    this.#released();
    this.#event?.[Symbol.dispose]();
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
    const handle = openHandle(this.#device);
    if (handle === undefined) return;
    try {
      await requestAsync(handle, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, "set");
    } catch (error) {
      throw toVfioError(error, "wake it", this.#device.name);
    }
    this.#release();
  }
}
