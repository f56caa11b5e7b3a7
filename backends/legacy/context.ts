/**
 * The legacy backend: groups, containers and the type 1 IOMMU
 * (`Documentation/driver-api/vfio.rst`).
 *
 * A group belongs to one container. Where the kernel refuses a group in the
 * containers that there are, another container joins the same address space and
 * gets all of its mappings.
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { Fd } from "../../lib/kernel/fd.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { VFIO_GROUP_GET_DEVICE_FD } from "../../lib/uapi/vfio/container.ts";
import type {
  Attachment,
  AttachOptions,
  AttachTarget,
  DirtyLog,
  DmaRange,
  IommuContext,
  IommuLimits,
  Mapped,
  PageTable,
  PhysicalRange,
} from "../backend.ts";
import { needlessToken, nodeRefused, wrongToken } from "../explain.ts";
import { GroupMachine } from "../kvm.ts";
import { whileLocked } from "../locked.ts";
import { ignoreErrors } from "../teardown.ts";
import { Container, type IommuDriver } from "./container.ts";
import type { ContainerDirtyLog } from "./dirty_log.ts";
import { openGroup } from "./group.ts";
import { commonLimits } from "./limits.ts";

/** A group that is open, in its container, and has devices attached. */
interface OpenGroup {
  readonly id: string;
  readonly fd: Fd;
  readonly container: Container;
  /** The virtual machine of its devices. */
  readonly machine: GroupMachine;
  /** Devices attached, and those on the way. */
  users: number;
}

/** An IOVA space in the kernel, as one or several containers. */
export class LegacyContext implements IommuContext {
  /** Always `"legacy"`. */
  readonly backend = "legacy";
  readonly #kernel: Kernel;
  readonly #driver: IommuDriver;
  readonly #mapped: Mapped;
  readonly #containers = new Set<Container>();
  readonly #groups = new Map<string, OpenGroup>();
  #dirtyLog: ContainerDirtyLog | undefined;

  /**
   * @param kernel The system that is asked.
   * @param driver What its containers' IOMMUs are.
   * @param mapped What is mapped in the address space.
   */
  constructor(kernel: Kernel, driver: IommuDriver, mapped: Mapped) {
    this.#kernel = kernel;
    this.#driver = driver;
    this.#mapped = mapped;
  }

  async attach(
    target: AttachTarget,
    options: AttachOptions,
  ): Promise<Attachment> {
    const { kvm, pageTable } = options;
    if (pageTable !== undefined) throw noPageTables(target, pageTable);
    const group = this.#enter(target);
    try {
      if (kvm !== undefined) group.machine.enter(target, group.fd, kvm);
    } catch (error) {
      this.#leave(group);
      throw error;
    }
    try {
      const fd = await this.#open(target, group, options);
      return {
        fd,
        ownership: { group: group.fd },
        // The device's own was made for us, whoever opened the group.
        borrowed: false,
        detach: async () => {
          if (kvm !== undefined) group.machine.leave(group.fd);
          await ignoreErrors(() => fd.closeAsync());
          this.#leave(group);
        },
      };
    } catch (error) {
      if (kvm !== undefined) group.machine.leave(group.fd);
      this.#leave(group);
      throw error;
    }
  }

  /**
   * Opens the group and puts it into a container, or returns it where that was
   * done.
   */
  #enter(target: AttachTarget): OpenGroup {
    const { id } = target.group;
    const present = this.#groups.get(id);
    if (present !== undefined) {
      present.users++;
      return present;
    }
    using stack = new DisposableStack();
    const fd = stack.use(openGroup(this.#kernel, target));
    const container = this.#join(target, fd);
    stack.move();
    const machine = new GroupMachine();
    const group = { id, fd, container, machine, users: 1 };
    this.#groups.set(id, group);
    return group;
  }

  /** Puts a group into the first container that takes it. */
  #join(target: AttachTarget, group: Fd): Container {
    for (const container of this.#containers) {
      if (container.add(target, group)) return container;
    }
    const container = Container.open(
      this.#kernel,
      target,
      group,
      this.#driver,
      this.#mapped(),
    );
    this.#containers.add(container);
    return container;
  }

  async #open(
    target: AttachTarget,
    group: OpenGroup,
    { vfToken }: AttachOptions,
  ): Promise<Fd> {
    const { name } = target.device;
    const argument = vfToken === undefined
      ? `${name}\0`
      : `${name} vf_token=${vfToken}\0`;
    try {
      const bytes = new TextEncoder().encode(argument);
      const fd = await whileLocked(
        name,
        "attach",
        () => group.fd.ioctlAsync(VFIO_GROUP_GET_DEVICE_FD, bytes),
        "EAGAIN",
      );
      return Fd.adopt(this.#kernel, fd);
    } catch (error) {
      if (hasErrno(error, "EACCES")) throw wrongToken(target, error);
      if (hasErrno(error, "EINVAL") && vfToken !== undefined) {
        throw needlessToken(target, error) ?? error;
      }
      throw nodeRefused(target, target.nodes.group!, error);
    }
  }

  #leave(group: OpenGroup): void {
    if (--group.users > 0) return;
    const { id, fd, container } = group;
    this.#groups.delete(id);
    container.remove(fd);
    if (container.groups === 0) this.#containers.delete(container);
    ignoreErrors(() => fd.close());
  }

  map(range: DmaRange): void {
    let mapped = 0;
    try {
      for (const { iommu } of this.#containers) {
        iommu.map(range);
        mapped++;
      }
    } catch (error) {
      this.#unmapFrom([...this.#containers].slice(0, mapped), range);
      throw error;
    }
  }

  async mapAsync(range: DmaRange): Promise<void> {
    const mapped: Container[] = [];
    try {
      for (const container of [...this.#containers]) {
        await container.iommu.mapAsync(range);
        mapped.push(container);
      }
    } catch (error) {
      this.#unmapFrom(mapped, range);
      // The last group left meanwhile, and the container with it.
      if (this.#containers.size > 0) throw error;
    }
  }

  #unmapFrom(containers: readonly Container[], range: DmaRange): void {
    for (const { iommu } of containers) ignoreErrors(() => iommu.unmap(range));
  }

  unmap(range: DmaRange): void {
    for (const { iommu } of this.#containers) iommu.unmap(range);
  }

  // A container cannot refer to another's mappings.
  copy(): boolean {
    return false;
  }

  dropAddresses(): void {
    const dropped: Container[] = [];
    try {
      for (const container of this.#containers) {
        if (container.iommu.dropAddresses === undefined) throw noAddresses();
        container.iommu.dropAddresses();
        dropped.push(container);
      }
    } catch (error) {
      for (const { iommu } of dropped) {
        for (const range of this.#mapped()) {
          ignoreErrors(() => iommu.updateAddress?.(range));
        }
      }
      throw error;
    }
  }

  updateAddress(range: DmaRange): void {
    for (const { iommu } of this.#containers) iommu.updateAddress?.(range);
  }

  physical(range: DmaRange, offset: number): PhysicalRange {
    const [container] = this.#containers;
    return container!.iommu.physical!(range, offset);
  }

  limits(): IommuLimits {
    return [...this.#containers]
      .map(({ iommu }) => iommu.limits())
      .reduce(commonLimits);
  }

  async startDirtyLog(): Promise<DirtyLog> {
    const { ContainerDirtyLog } = await import("./dirty_log.ts");
    const log = this.#dirtyLog ??= new ContainerDirtyLog(
      this.#kernel,
      this.#containers,
    );
    log.start();
    return log;
  }
}

function noAddresses(): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem: "without an IOMMU the kernel knows none of this process's " +
      "addresses",
  });
}

function noPageTables(
  { device }: AttachTarget,
  { name }: PageTable,
): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `a container takes no ${name} of an iommufd`,
    hint: 'make the address space with the backend "iommufd"',
  });
}
