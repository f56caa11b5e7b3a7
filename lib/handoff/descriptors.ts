/**
 * Opening devices for a program that may not open them itself.
 *
 * @module
 */

import { groupNotViable, openNode } from "../../backends/explain.ts";
import { selectBackend } from "../../backends/select.ts";
import { attachTarget } from "../../backends/target.ts";
import type { PassedDevice } from "../device/passed.ts";
import type { HostDevice } from "../host/device.ts";
import { Host } from "../host/host.ts";
import { IOMMUFD_NODE } from "../host/iommu/nodes.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import type { Fd } from "../kernel/fd.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { receive, send } from "./message.ts";

/** Where descriptors are received, and until when. */
export interface ReceiveOptions extends SignalOptions {
  /** The host whose devices they are. Default: this machine. */
  readonly host?: Host;
}

/**
 * Open file descriptors of devices and of an iommufd, for a program that
 * inherits them or is sent them, and binds the devices to the iommufd. Until
 * then the descriptors give no access. The program needs no right to the device
 * nodes.
 *
 * They are close-on-exec: name them to what starts the program, so that it
 * passes them on. Dispose of them once the program has them, since a device is
 * free only when nobody has it open.
 *
 * A device script attaches {@linkcode VfioDescriptors.passed}, or writes the
 * numbers at which it inherited them: `{ iommufd: 3, fd: 4 }`.
 */
export class VfioDescriptors implements AsyncDisposable {
  readonly #kernel: Kernel;
  readonly #owned: AsyncDisposableStack;
  readonly #iommufd: Fd;
  readonly #devices: readonly Fd[];
  readonly #ids: readonly (number | undefined)[];

  private constructor(
    kernel: Kernel,
    owned: AsyncDisposableStack,
    iommufd: Fd,
    devices: readonly Fd[],
    ids: readonly (number | undefined)[] = [],
  ) {
    this.#kernel = kernel;
    this.#owned = owned;
    this.#iommufd = iommufd;
    this.#devices = devices;
    this.#ids = ids;
  }

  /**
   * Opens the iommufd and the devices.
   *
   * @param devices The devices, each bound to a VFIO driver.
   * @returns The descriptors, to be disposed of.
   * @throws {RangeError} When no device is given.
   * @throws {VfioError} `NO_IOMMU_GROUP`, `WRONG_DRIVER`, `GROUP_NOT_VIABLE`,
   * `BACKEND_UNAVAILABLE` when the kernel has no iommufd or the device no node
   * of its own, or `PERMISSION_DENIED`.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   * import { VfioDescriptors } from "@passthru/vfio/handoff";
   *
   * await using taken = await new Host().take("0000:01:00.0");
   * await using open = await VfioDescriptors.open([taken.device]);
   * console.log(`iommufd ${open.iommufd}, device ${open.devices[0]}`);
   * ```
   */
  static async open(
    devices: readonly HostDevice[],
  ): Promise<VfioDescriptors> {
    const [first] = devices;
    if (first === undefined) throw new RangeError("No device to open");
    await using stack = new AsyncDisposableStack();
    const adopt = (fd: Fd) => stack.adopt(fd, (fd) => fd.closeAsync());
    const targets = devices.map((device) => {
      const target = attachTarget(device, false);
      selectBackend(target, "iommufd");
      if (!target.group.viability().viable) throw groupNotViable(target);
      return target;
    });
    const { kernel } = first.host;
    const iommufd = adopt(openNode(kernel, targets[0]!, IOMMUFD_NODE));
    const opened = targets.map((target) =>
      adopt(openNode(kernel, target, target.nodes.cdev!))
    );
    return new VfioDescriptors(kernel, stack.move(), iommufd, opened);
  }

  /**
   * Receives what {@linkcode VfioDescriptors.send} of another process sends. It
   * waits for that without holding the event loop.
   *
   * @param socket A connected socket, as the other process has the other end of.
   * @param options A signal, which ends the wait, and the host.
   * @returns The descriptors, to be disposed of.
   * @throws The signal's reason.
   * @throws {TypeError} If it receives something else.
   * @throws {VfioError} `DEVICE_NOT_FOUND` if the other end was closed, `KERNEL`.
   *
   * @example Attach what is sent
   * ```ts
   * import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
   * import { VfioDescriptors } from "@passthru/vfio/handoff";
   * import { AF_UNIX, SOCK_SEQPACKET } from "@passthru/vfio/uapi";
   *
   * const host = new Host();
   * const [ours, its] = host.kernel.socketpair(AF_UNIX, SOCK_SEQPACKET, 0);
   * {
   *   await using open = await VfioDescriptors.open([host.function("01:00.0")]);
   *   open.send(ours);
   * }
   * // In a child that was started with the socket as its descriptor 3:
   * // await VfioDescriptors.receive(3)
   * await using received = await VfioDescriptors.receive(its);
   * await using space = new AddressSpace();
   * for (const target of received.passed) {
   *   const device = await VfioDevice.attach(target, space);
   *   console.log(device.name);
   * }
   * for (const socket of [ours, its]) host.kernel.close(socket);
   * ```
   */
  static async receive(
    socket: number,
    options: ReceiveOptions = {},
  ): Promise<VfioDescriptors> {
    const kernel = options.host?.kernel ?? new Host().kernel;
    const { fds, ids } = await receive(kernel, socket, options);
    const owned = new AsyncDisposableStack();
    const [iommufd, ...devices] = fds;
    for (const fd of fds) owned.defer(() => fd.closeAsync());
    return new VfioDescriptors(kernel, owned, iommufd!, devices, ids);
  }

  /**
   * Sends them to another process, which receives descriptors of its own.
   *
   * @param socket A connected socket, of `AF_UNIX` and best of `SOCK_SEQPACKET`:
   * `host.kernel.socketpair`.
   * @param deviceIds The devices' ids in the iommufd, of those that are bound
   * to it: {@linkcode VfioDevice.deviceId}.
   * @throws {VfioError} `KERNEL` if nobody has the other end, or there are more
   * than 252 devices.
   */
  send(socket: number, deviceIds: readonly (number | undefined)[] = []): void {
    const fds = [this.#iommufd, ...this.#devices].map(({ number }) => number);
    send(this.#kernel, socket, fds, this.#devices.map((_, i) => deviceIds[i]));
  }

  /** What the devices are attached by, in the order they were given. */
  get passed(): readonly PassedDevice[] {
    return this.devices.map((fd, i) => {
      const deviceId = this.#ids[i];
      const { iommufd } = this;
      return deviceId === undefined
        ? { fd, iommufd }
        : { fd, iommufd, deviceId };
    });
  }

  /** The iommufd's number; -1 once it is closed. */
  get iommufd(): number {
    return this.#iommufd.number;
  }

  /** The devices' numbers, in the order they were given; -1 once closed. */
  get devices(): readonly number[] {
    return this.#devices.map(({ number }) => number);
  }

  /** Closes all of them. A program that inherited them keeps its own. */
  async close(): Promise<void> {
    await this.#owned.disposeAsync();
  }

  /** The same as {@linkcode VfioDescriptors.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
