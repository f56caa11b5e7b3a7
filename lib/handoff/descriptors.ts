/**
 * Opening devices for a program that may not open them itself.
 *
 * @module
 */

import { groupNotViable, openNode } from "../../backends/explain.ts";
import { selectBackend } from "../../backends/select.ts";
import { attachTarget } from "../../backends/target.ts";
import type { HostDevice } from "../host/device.ts";
import type { Fd } from "../kernel/fd.ts";

const IOMMUFD_NODE = "/dev/iommu";

/**
 * Open file descriptors of devices and of an iommufd, for a program that
 * inherits them and binds the devices to the iommufd. Until then the
 * descriptors give no access. The program needs no right to the device nodes.
 *
 * They are close-on-exec: name them to what starts the program, so that it
 * passes them on. Dispose of them once the program has them, since a device is
 * free only when nobody has it open.
 */
export class VfioDescriptors implements AsyncDisposable {
  readonly #owned: AsyncDisposableStack;
  readonly #iommufd: Fd;
  readonly #devices: readonly Fd[];

  private constructor(
    owned: AsyncDisposableStack,
    iommufd: Fd,
    devices: readonly Fd[],
  ) {
    this.#owned = owned;
    this.#iommufd = iommufd;
    this.#devices = devices;
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
    return new VfioDescriptors(stack.move(), iommufd, opened);
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
