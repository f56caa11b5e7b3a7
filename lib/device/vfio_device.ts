import type { Attachment, AttachOptions } from "../../backends/backend.ts";
import { ignoreErrors } from "../../backends/teardown.ts";
import type { AddressSpace } from "../dma/address_space.ts";
import {
  LOG_DMA,
  type LoggedIovas,
  MAY_WRITE,
  type MemberLog,
  MEMBERS,
} from "../dma/members.ts";
import { toVfioError, VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import type { Fd } from "../kernel/fd.ts";
import { traced } from "../tracing.ts";
import type { Display } from "./display/display.ts";
import type { FeatureDevice } from "./features/feature_device.ts";
import type { Features } from "./features/features.ts";
import type { DeviceInfo } from "./info/device_info.ts";
import type { RegionType, RegionTypeName } from "./info/region_type.ts";
import type { Interrupts } from "./interrupts/interrupts.ts";
import type { Irq } from "./interrupts/irq.ts";
import type { IrqDevice } from "./interrupts/irq_device.ts";
import type { IrqEvents } from "./interrupts/irq_events.ts";
import type { IrqName } from "./interrupts/irq_names.ts";
import type { Migration } from "./migration/migration.ts";
import type { PassedTarget } from "./passed.ts";
import type { Region, RegionDevice } from "./regions/region.ts";
import type { RegisterGate } from "./regions/register_gate.ts";
import type { Regions } from "./regions/regions.ts";
import type { HotReset } from "./reset/hot_reset.ts";
import type { ResetTarget } from "./reset/reset_target.ts";
import type { ResetOptions } from "./reset/reset.ts";
import type { Resources } from "./resources.ts";

export type { DeviceInfo };

/** What devices are made of, which is loaded when the first one is attached. */
let parts: typeof import("./parts.ts");

/** The device as its parts see it. */
type DevicePort = RegionDevice & FeatureDevice & IrqDevice;

/** How a device is attached. */
export interface DeviceOptions extends AttachOptions {
  /**
   * Whether it is detached when the kernel asks for it back
   * ({@linkcode VfioDevice.requests}), as it does of who unbinds it and waits.
   * `Host.take` and `passthru unbind` of other processes then do so at once; else
   * they refuse a device that is open.
   *
   * @default {false}
   */
  readonly detachOnRequest?: boolean;
}

/** Why the registers of a detached device cannot be accessed. */
const DETACHED = {
  problem: "the device was detached",
  hint: "attach it again: VfioDevice.attach",
} as const;

/**
 * A device in a security context: it reaches what its address space maps and
 * nothing else, and user space drives it.
 *
 * @example Read a register and detach
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * using bar = device.region(0).map();
 * console.log(bar.read32(0).toString(16));
 * ```
 */
export class VfioDevice implements AsyncDisposable {
  readonly #space: AddressSpace;
  readonly #attachment: Attachment;
  readonly #port: DevicePort;
  readonly #regions: Regions;
  readonly #resources: Resources;
  readonly #interrupts: Interrupts;
  readonly #gate: RegisterGate;
  readonly #resets: ResetTarget;
  #migration: Migration | undefined;
  #detaching: Promise<void> | undefined;
  /** Whether it was detached since the kernel has asked for it. */
  #requested = false;
  /** The device as the host has it. */
  readonly hostDevice: HostDevice;
  /** What it says of itself. */
  readonly info: DeviceInfo;
  /**
   * Whether it pins only what it accesses, as was said when it was attached.
   */
  readonly pinsOnDemand: boolean;

  private constructor(
    hostDevice: HostDevice,
    space: AddressSpace,
    attachment: Attachment,
    info: DeviceInfo,
    pinsOnDemand: boolean,
  ) {
    this.pinsOnDemand = pinsOnDemand;
    this.hostDevice = hostDevice;
    this.#space = space;
    this.#attachment = attachment;
    this.info = info;
    this.#resources = new parts.Resources();
    this.#gate = parts.memoryGate(hostDevice, info.pci, () => this.config);
    this.#port = this.#toPort();
    this.#regions = new parts.Regions(this.#port, info);
    this.#interrupts = new parts.Interrupts(this.#port);
    this.#resets = parts.enroll(this, {
      ownership: attachment.ownership,
      gate: this.#gate,
      handle: () => this.#handle,
    });
  }

  /**
   * Puts a device into a security context. When it returns, the device sees
   * what `space` maps and its descriptor can be used; when it fails, everything
   * is undone, and it can be tried again.
   *
   * The device must be bound to a VFIO driver: `Host.take` does that.
   *
   * @param target A PCI address (`0000:01:00.0`, or `01:00.0` in domain 0), a
   * device's path in sysfs, a device of the space's host; or descriptors that
   * somebody with more rights has opened. These stay the caller's: they are not
   * closed, and a device by its own descriptor stays bound when it is detached.
   * @param space The address space that it joins.
   * @param options A VF's token, the virtual machine that it is for, how a
   * mediated device pins memory, and whether it is detached when the kernel asks
   * for it back.
   * @throws {TypeError} If the address, or the token, is malformed; if a
   * descriptor is of another file.
   * @throws {VfioError} `DEVICE_NOT_FOUND`, `WRONG_DRIVER`, `NO_IOMMU_GROUP`,
   * `GROUP_NOT_VIABLE`, `GROUP_IN_OTHER_SPACE`, `ALREADY_ATTACHED`,
   * `DEVICE_BUSY`, `PERMISSION_DENIED`, `BACKEND_UNAVAILABLE`,
   * `MEMLOCK_LIMIT`, `MAPPING_LIMIT`, `IOVA_OUT_OF_RANGE`, `KERNEL`;
   * `NOT_SUPPORTED` where the firmware keeps memory mapped for its group, where
   * the kernel would not ask for the device back, and for `pinsOnDemand` of a
   * device that is not mediated.
   *
   * @example A device by descriptors
   * ```ts
   * import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
   * import { VfioDescriptors } from "@passthru/vfio/handoff";
   *
   * const host = new Host();
   * await using open = await VfioDescriptors.open([host.function("01:00.0")]);
   * // A process that inherits them as 3 and 4 writes { iommufd: 3, fd: 4 }.
   * const [passed] = open.passed;
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach(passed!, space);
   * console.log(device.name, space.backend?.reason);
   * ```
   */
  static async attach(
    target: string | HostDevice | PassedTarget,
    space: AddressSpace,
    options: DeviceOptions = {},
  ): Promise<VfioDevice> {
    parts ??= await import("./parts.ts");
    const { device, passed } = parts.findTarget(space.host, target);
    parts.assertToken(options.vfToken);
    const { pinsOnDemand = false, detachOnRequest = false } = options;
    if (pinsOnDemand) parts.assertMediated(device);
    const request = passed === undefined ? options : { ...options, passed };
    const description = () => parts.described(device);
    return await traced("attach", description, async (event) => {
      try {
        const attached = await space[MEMBERS].attach(
          device,
          request,
          (attachment) => {
            if (event !== undefined) event.backend = space.backend?.backend;
            const info = parts.readDeviceInfo(attachment.fd);
            return new VfioDevice(
              device,
              space,
              attachment,
              info,
              pinsOnDemand,
            );
          },
        );
        if (detachOnRequest) await attached.#detachOnRequest();
        return attached;
      } catch (error) {
        throw toVfioError(error, "attach", device.name);
      }
    });
  }

  /** A PCI function's address, or the name that another bus gave it. */
  get name(): string {
    return this.hostDevice.name;
  }

  /** The address space that it belongs to. */
  get space(): AddressSpace {
    return this.#space;
  }

  /** Whether it is still attached. */
  get attached(): boolean {
    return this.#detaching === undefined;
  }

  /**
   * The device's file descriptor, for what this library does not do. Do not
   * close it: {@linkcode VfioDevice.detach} does.
   *
   * @throws {VfioError} `DETACHED`.
   */
  get fd(): number {
    return this.#handle.number;
  }

  /**
   * Its id in the iommufd that it is bound to, for a process that is passed the
   * descriptors; `undefined` with the legacy container.
   */
  get deviceId(): number | undefined {
    const { ownership } = this.#attachment;
    return "deviceId" in ownership ? ownership.deviceId : undefined;
  }

  get #handle(): Fd {
    this.#assertAttached();
    return this.#attachment.fd;
  }

  #assertAttached(): void {
    if (this.attached) return;
    throw new VfioError("DETACHED", {
      device: this.name,
      problem: this.#requested
        ? "the kernel asked for the device back, so it was detached"
        : "the device was detached",
      hint: "attach it again: VfioDevice.attach",
    });
  }

  /**
   * A region of the device.
   *
   * @param index A BAR's number, or another of `VFIO_PCI_*_REGION_INDEX`.
   * @throws {RangeError} If the device has fewer regions.
   * @throws {VfioError} `NOT_SUPPORTED` if the kernel leaves this one out, as it
   * does a VGA region where there is none, `DETACHED`, or `KERNEL`.
   */
  region(index: number): Region {
    return this.#regions.get(index);
  }

  /**
   * A BAR of a PCI function.
   *
   * @param index Its number, 0 to 5.
   * @throws {RangeError} If there is no such number.
   * @throws {VfioError} `NOT_SUPPORTED` if it has no such BAR or is no PCI
   * function, `DETACHED`, or `KERNEL`.
   */
  bar(index: number): Region {
    return this.#regions.bar(index);
  }

  /**
   * A PCI function's expansion ROM.
   *
   * @throws {VfioError} As {@linkcode VfioDevice.bar}.
   */
  get rom(): Region {
    return this.#regions.rom;
  }

  /**
   * A PCI function's config space.
   *
   * @throws {VfioError} As {@linkcode VfioDevice.bar}.
   */
  get config(): Region {
    return this.#regions.config;
  }

  /**
   * The VGA ports and memory of a PCI function, each at its own address: ports
   * 0x3b0-0x3bb and 0x3c0-0x3df, memory 0xa0000-0xbffff. A kernel with
   * `CONFIG_VFIO_PCI_VGA` has it for a VGA controller.
   *
   * @throws {VfioError} As {@linkcode VfioDevice.bar}.
   */
  get vga(): Region {
    return this.#regions.vga;
  }

  /**
   * The regions that the device has, in the order of their indexes.
   *
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  regions(): Region[] {
    return this.#regions.all();
  }

  /**
   * Finds a region that the device's driver adds to the fixed ones.
   *
   * @param type What it is, by name or by the kernel's numbers.
   * @returns The region; `undefined` if the device has none of the type.
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   *
   * @example Read the OpRegion of Intel's graphics
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * const region = device.findRegion("intel-opregion");
   * const bytes = new Uint8Array(region?.size ?? 0);
   * region?.read(0, bytes);
   * ```
   */
  findRegion(type: RegionTypeName | RegionType): Region | undefined {
    return this.#regions.find(type);
  }

  /**
   * The display of a virtual GPU. What shows it is loaded here.
   *
   * @throws {VfioError} `NOT_SUPPORTED` if it has none, `DETACHED`, or
   * `KERNEL`.
   */
  async display(): Promise<Display> {
    const { Display } = await import("./display/display.ts");
    return new Display(this.#port, this.#regions);
  }

  /**
   * Whether a PCI function still answers. One that was pulled out, or that
   * failed, reads as ones; then {@linkcode Registers.until32} throws
   * `DEVICE_LOST`. Of other devices it is not known, and this is true.
   *
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  get present(): boolean {
    return !this.info.pci || parts.isPresent(this.config);
  }

  /**
   * A kind of interrupt of the device.
   *
   * @param which `"msix"`, `"msi"`, `"intx"`, `"error"` or `"request"` of a PCI
   * function; or an index, as a device of another bus has them.
   * @throws {RangeError} If the device has fewer indexes.
   * @throws {TypeError} If there is no such name.
   * @throws {VfioError} `NOT_SUPPORTED` if it has no interrupts of this kind,
   * `DETACHED`, or `KERNEL`.
   */
  irq(which: IrqName | number): Irq {
    return this.#interrupts.get(which);
  }

  /**
   * The kinds of interrupt that the device has.
   *
   * @throws {VfioError} `DETACHED`, or `KERNEL`.
   */
  get interrupts(): readonly Irq[] {
    return this.#interrupts.all;
  }

  /**
   * The kernel asks for the device back, as somebody unbinds it or pulls it out:
   * at once, then every ten seconds until it is detached. Meanwhile the device
   * cannot be reset, nor is it when it is detached.
   *
   * @example Give the device up when it is asked for
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * device.requests.next().then(
   *   () => device.detach(),
   *   () => {}, // detached before that
   * );
   * ```
   */
  get requests(): IrqEvents {
    return this.#interrupts.requests;
  }

  /**
   * Errors that a PCI function reports (AER). The kernel recovers nothing: stop
   * using it, then reset it. A fatal error has the kernel reset its link, and
   * restore nothing (`pcie_do_recovery()` in `drivers/pci/pcie/err.c`): detach
   * it, and attach it again. Its mapped registers answer nothing of use from
   * then on, and do not end the process; `PCI_COMMAND` reads 0.
   */
  get errors(): IrqEvents {
    return this.#interrupts.errors;
  }

  /**
   * Allows or forbids a PCI function to start DMA (`PCI_COMMAND_MASTER`). After
   * an attach it is forbidden.
   *
   * @param enabled Whether it may.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED` or `KERNEL`.
   */
  setBusMaster(enabled: boolean): void {
    parts.setBusMaster(this.config, enabled);
  }

  /** What its driver offers besides: `VFIO_DEVICE_FEATURE`; loaded here. */
  async features(): Promise<Features> {
    const { Features } = await import("./features/features.ts");
    return new Features(this.#port);
  }

  /**
   * Saves its state, and loads one. What does is loaded here.
   *
   * @returns The migration; `undefined` if its driver has none.
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  async migration(): Promise<Migration | undefined> {
    const { Migration } = await import("./migration/migration.ts");
    return this.#migration ??= Migration.of(this.#port);
  }

  /**
   * Resets the device, by the method that the kernel prefers for it, or by the
   * one that is asked for. Its registers are set back; config space, DMA mappings
   * and interrupts stay. Meanwhile its mapped registers throw `INACCESSIBLE`.
   *
   * @param options The method.
   * @throws {VfioError} `NOT_SUPPORTED` if the kernel has no method to reset it,
   * or not this one; `DEVICE_BUSY` while something else keeps it locked;
   * `PERMISSION_DENIED` if this user may not choose the method,
   * `RESTORE_INCOMPLETE` if the choice could not be set back; `DETACHED`, or
   * `KERNEL`.
   *
   * @example Reset a function by function level reset (FLR)
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * await device.reset({ method: "flr" });
   * ```
   */
  reset(options: ResetOptions = {}): Promise<void> {
    return parts.resetDevice(this.#resets, options);
  }

  /** Resets it with all that shares its bus or slot. */
  get hotReset(): HotReset {
    return new parts.HotReset(this.#resets);
  }

  /**
   * Takes the device out of its security context. When it returns, its
   * descriptor is closed, its registers are unmapped, its driver can be
   * unbound, and another process can attach it. Calling it again does nothing.
   *
   * It always completes, whatever the kernel refuses on the way.
   *
   * @throws {VfioError} `DETACH_INCOMPLETE` if registers, or others of its resources,
   * could not be released.
   */
  detach(): Promise<void> {
    return this.#detaching ??= traced(
      "detach",
      () => parts.described(this.hostDevice),
      () => this.#detach(),
    );
  }

  /** @ignore */
  [MAY_WRITE](): boolean {
    if (!this.info.pci) return true;
    return parts.isBusMaster(this.config);
  }

  /** @ignore */
  async [LOG_DMA](
    ranges: readonly LoggedIovas[],
  ): Promise<MemberLog | undefined> {
    const features = await this.features();
    return features.supports("dma-logging-start")
      ? await features.startDmaLog(ranges)
      : undefined;
  }

  /** The same as {@linkcode VfioDevice.detach}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.detach();
  }

  async #detachOnRequest(): Promise<void> {
    try {
      const { kernel } = this.hostDevice.host;
      const vector = await this.requests.vector();
      const mark = parts.markRelease(kernel, this.name);
      this.#resources.hold("a file in memory", () => mark[Symbol.dispose]());
      vector.listen(() => {
        this.#requested ||= this.attached;
        // Whoever detaches it gets the same error.
        this.detach().catch(() => {});
      }, { inBackground: true });
    } catch (error) {
      await this.detach();
      throw error;
    }
  }

  #toPort(): DevicePort {
    const { name, host: { kernel } } = this.hostDevice;
    const handle = () => this.#handle;
    return {
      name,
      kernel,
      info: this.info,
      isPresent: () => this.present,
      hold: (what, release) => this.#resources.hold(what, release),
      gate: this.#gate,
      get handle() {
        return handle();
      },
      get fd() {
        return handle().number;
      },
    };
  }

  async #detach(): Promise<void> {
    // The last close ends all DMA. Where the caller has it open still, nothing
    // does, and without an IOMMU it would go on.
    if (this.#attachment.borrowed) {
      ignoreErrors(() => this.setBusMaster(false));
    }
    // A mapping of registers keeps the device open, so what is open goes first.
    const unreleased = await this.#resources.release();
    await this.#attachment.detach();
    // What stays open keeps its dma-bufs.
    if (!this.#attachment.borrowed) this.#gate.close(DETACHED);
    this.#space[MEMBERS].remove(this);
    const [first] = unreleased;
    if (first === undefined) return;
    throw new VfioError("DETACH_INCOMPLETE", {
      device: this.name,
      problem: unreleased.map(({ what }) => what).join(" and ") +
        " could not be released, and keep it open",
      hint: "end this process",
      cause: first.cause,
    });
  }
}
