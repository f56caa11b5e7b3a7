import { toVfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  vfio_device_feature_bus_master,
  VFIO_DEVICE_FEATURE_CLEAR_MASTER,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET_MASTER,
  vfio_device_feature_zpci_err,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
} from "../../uapi/vfio/feature.ts";
import { assertToken } from "../attach_options.ts";
import type { DmaLog, DmaLogOptions, LoggedRange } from "./dma_log.ts";
import type { FeatureDevice } from "./feature_device.ts";
import {
  FEATURE_NAMES,
  type FeatureName,
  featureNumber,
} from "./feature_name.ts";
import type { Sleep, SleepOptions } from "./low_power.ts";
import {
  type FeatureDirection,
  featureRefused,
  probe,
  request,
  requestAsync,
} from "./request.ts";

/** More than the kernel writes of an s390 PCI error. */
const ZPCI_ERROR_ROOM = 4096;

/**
 * What a device's driver and the kernel offer beyond registers, interrupts and
 * resets: `VFIO_DEVICE_FEATURE`. Each call wakes a device that sleeps.
 *
 * @example Which features a device has
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * const features = await device.features();
 * console.log(features.list());
 * ```
 */
export class Features {
  readonly #device: FeatureDevice;

  /** Given by `VfioDevice.features`. */
  constructor(device: FeatureDevice) {
    this.#device = device;
  }

  /**
   * Whether a feature exists, or can be read or set.
   *
   * @param feature Its name, or its number in a newer kernel's `linux/vfio.h`.
   * @param direction Which of both. Default: whether it exists.
   * @throws {TypeError} If there is no such name.
   * @throws {VfioError} `DETACHED`, or `KERNEL` if the device cannot be woken.
   */
  supports(
    feature: FeatureName | number,
    direction?: FeatureDirection,
  ): boolean {
    const number = featureNumber(feature);
    try {
      probe(this.#device.handle, number, direction);
      return true;
    } catch (error) {
      if (hasErrno(error, "ENOTTY", "EOPNOTSUPP", "EINVAL")) return false;
      throw toVfioError(error, "ask for its features", this.#device.name);
    }
  }

  /**
   * The features that the device has, by name.
   *
   * @throws {VfioError} As {@linkcode Features.supports}.
   */
  list(): FeatureName[] {
    return FEATURE_NAMES.filter((name) => this.supports(name));
  }

  /**
   * Reads a feature that this library has no method for.
   *
   * @param feature Its name or its number.
   * @param data Its struct. The kernel's answer is put into it.
   * @returns What the ioctl returned: 0, or a descriptor, which is the
   * caller's.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  get(feature: FeatureName | number, data: Uint8Array): Promise<number> {
    return this.#request(feature, "get", data);
  }

  /**
   * Sets a feature that this library has no method for.
   *
   * @param feature Its name or its number.
   * @param data Its struct. Default: none. The kernel's answer is put into it.
   * @returns What the ioctl returned.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  set(feature: FeatureName | number, data?: Uint8Array): Promise<number> {
    return this.#request(feature, "set", data);
  }

  async #request(
    feature: FeatureName | number,
    direction: FeatureDirection,
    data?: Uint8Array,
  ): Promise<number> {
    const number = featureNumber(feature);
    const { handle } = this.#device;
    try {
      return await requestAsync(handle, number, direction, data);
    } catch (error) {
      const doing = `${direction} feature ${feature}`;
      throw featureRefused(this.#device, `feature ${feature}`, doing, error);
    }
  }

  /**
   * Sets the secret that whoever attaches one of this function's virtual
   * functions must know: {@linkcode AttachOptions.vfToken}. Until then it is the
   * one of the function's last user. It counts for later attaches only.
   *
   * @param token A UUID.
   * @throws {TypeError} If it is none.
   * @throws {VfioError} `NOT_SUPPORTED` if it is no physical function with
   * `vfio-pci`, `DETACHED`, or `KERNEL`.
   */
  setVfToken(token: string): void {
    assertToken(token);
    const bytes = Uint8Array.fromHex(token.replaceAll("-", ""));
    const { handle } = this.#device;
    try {
      request(handle, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, "set", bytes);
    } catch (error) {
      const feature = "VF token, as a physical function with vfio-pci has";
      throw featureRefused(this.#device, feature, "set the VF token", error);
    } finally {
      bytes.fill(0);
    }
  }

  /**
   * Lets a PCI function sleep in a state of low power, down to D3cold, as its
   * host and `power/control` allow. A kernel with `CONFIG_PM` does.
   *
   * An access by a {@linkcode Region} or an ioctl wakes it for its duration.
   * Mapped registers throw `INACCESSIBLE` until it is woken by
   * {@linkcode Sleep.wake}, or {@linkcode Sleep.woken} has told that it is.
   *
   * @param options Whether waking it ends its sleep, and is told.
   * @returns Wakes it when it is disposed of.
   * @throws {VfioError} `NOT_SUPPORTED` if it is no PCI function with Linux 6.1
   * or later, `DETACHED`; `KERNEL` if it sleeps already.
   *
   * @example Let a device sleep for a second
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * const features = await device.features();
   * await using _sleep = await features.sleep();
   * await new Promise((resolve) => setTimeout(resolve, 1000));
   * ```
   */
  async sleep(options?: SleepOptions): Promise<Sleep> {
    const { sleep } = await import("./low_power.ts");
    return await sleep(this.#device, options);
  }

  /**
   * Has the device log which memory it writes, in place of an IOMMU that does
   * (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`). A device has one log at a time.
   *
   * @param ranges Where, at most 256 ranges.
   * @param options The granularity.
   * @throws {RangeError} If the ranges do not fit.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED`, or `KERNEL`.
   *
   * @example Which pages a device wrote
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   * import { simulate } from "@passthru/vfio/sim";
   *
   * const address = "0000:01:00.2";
   * const host = simulate({
   *   functions: {
   *     [address]: { model: "scratchpad", driver: "mlx5_vfio_pci" },
   *   },
   * });
   * await using space = new AddressSpace({ host });
   * await using device = await VfioDevice.attach(address, space);
   * using memory = space.allocate(2 ** 20);
   * const range = { iova: memory.iova, size: BigInt(memory.size) };
   * const features = await device.features();
   * await using log = await features.startDmaLog([range]);
   * const written = await log.report(range);
   * console.log(written.some((byte) => byte !== 0)); // => false
   * ```
   */
  async startDmaLog(
    ranges: readonly LoggedRange[],
    options?: DmaLogOptions,
  ): Promise<DmaLog> {
    const { startDmaLog } = await import("./dma_log.ts");
    return await startDmaLog(this.#device, ranges, options);
  }

  /**
   * Allows or forbids a device without PCI's config space to start DMA. CDX
   * devices have this.
   *
   * @param enabled Whether it may.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  setBusMaster(enabled: boolean): void {
    const data = vfio_device_feature_bus_master.alloc({
      op: enabled
        ? VFIO_DEVICE_FEATURE_SET_MASTER
        : VFIO_DEVICE_FEATURE_CLEAR_MASTER,
    });
    try {
      request(this.#device.handle, VFIO_DEVICE_FEATURE_BUS_MASTER, "set", data);
    } catch (error) {
      const doing = `${enabled ? "allow" : "forbid"} its DMA`;
      throw featureRefused(this.#device, "control of its DMA", doing, error);
    }
  }

  /**
   * Takes the description of a PCI error on s390: `struct zpci_ccdf_err`, and
   * zeros behind it. `VFIO_DEVICE_INFO_CAP_ZPCI_BASE` has its length.
   *
   * @returns The description; `undefined` if there was no error.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  zpciError(): Uint8Array | undefined {
    const error = new Uint8Array(ZPCI_ERROR_ROOM);
    const data = vfio_device_feature_zpci_err.alloc({
      data: this.#device.kernel.addressOf(error),
    });
    try {
      request(this.#device.handle, VFIO_DEVICE_FEATURE_ZPCI_ERROR, "get", data);
      return error;
    } catch (cause) {
      if (hasErrno(cause, "ENOMSG")) return undefined;
      const doing = "read its PCI error";
      throw featureRefused(this.#device, "s390 PCI errors", doing, cause);
    }
  }
}
