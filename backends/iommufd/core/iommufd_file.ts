import { VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import type { Fd } from "../../../lib/kernel/fd.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import type { Ioctl } from "../../../lib/uapi/ioctl.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
} from "../../../lib/uapi/iommufd/ioas.ts";
import { refused } from "./refusal.ts";

/** What keeps an object from being destroyed. */
export interface User {
  /** What an error calls it. */
  readonly name: string;
}

/** An object of an iommufd, as its file knows it. */
export interface Owned {
  /** Destroys it. */
  destroy(): void;
}

/** An iommufd that is open, and what was made in it. */
export class IommufdFile {
  /** The system. */
  readonly kernel: Kernel;
  /** Its descriptor. */
  readonly fd: Fd;
  readonly #owned = new Set<Owned>();
  readonly #devices = new Set<Owned>();
  readonly #users = new Set<User>();

  /**
   * Made by {@linkcode Iommufd.open}.
   *
   * @param kernel The system.
   * @param fd Its descriptor.
   */
  constructor(kernel: Kernel, fd: Fd) {
    this.kernel = kernel;
    this.fd = fd;
  }

  /** Whether it was closed. */
  get closed(): boolean {
    return this.fd.number < 0;
  }

  /** @ignore Adds what was made in it. */
  own(owned: Owned): void {
    this.#owned.add(owned);
  }

  /** @ignore Removes what is gone. */
  disown(owned: Owned): void {
    this.#owned.delete(owned);
  }

  /** @ignore Adds a device that is bound to it. */
  bind(device: Owned): void {
    this.#devices.add(device);
  }

  /** @ignore Removes a device that goes. */
  unbind(device: Owned): void {
    this.#devices.delete(device);
  }

  /** @ignore The devices that are bound to it. */
  get devices(): Iterable<Owned> {
    return this.#devices;
  }

  /** @ignore Says that something lives in it that was not made in it. */
  keep(user: User): void {
    this.#users.add(user);
  }

  /** @ignore Takes that back. */
  letGo(user: User): void {
    this.#users.delete(user);
  }

  /** @ignore */
  assertUnused(): void {
    if (this.#users.size === 0) return;
    throw new VfioError("IN_USE", {
      problem: "the iommufd is kept by " +
        Array.from(this.#users, ({ name }) => name).join(", "),
      hint: "close that first",
    });
  }

  /** @ignore What was made in it, in the order in which it was made. */
  get owned(): Iterable<Owned> {
    return this.#owned;
  }

  /**
   * @ignore Makes a call.
   *
   * @param doing What it does: "allocate a page table".
   * @param operation The call.
   * @param argument Its argument.
   * @param device The device that it is about.
   */
  call(
    doing: string,
    operation: Ioctl,
    argument: Uint8Array,
    device?: string,
  ): void {
    this.assertOpen();
    try {
      this.fd.ioctl(operation, argument);
    } catch (error) {
      throw refused(error, doing, device);
    }
  }

  /** @ignore */
  assertOpen(): void {
    if (!this.closed) return;
    throw new VfioError("DETACHED", {
      problem: "the iommufd was closed",
      hint: "open another one: Iommufd.open()",
    });
  }

  /**
   * @ignore Destroys an object by its number.
   *
   * @param id The number. It can be that of another object from then on.
   * @param name What the object is called.
   */
  destroy(id: number, name: string): void {
    if (this.closed) return;
    try {
      this.fd.ioctl(IOMMU_DESTROY, iommu_destroy.alloc({ id }));
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return;
      if (!hasErrno(error, "EBUSY")) throw refused(error, `destroy ${name}`);
      throw new VfioError("IN_USE", {
        problem: `${name} is in use by something that was not made here`,
        hint: "end that, in the process that has it",
        cause: error,
      });
    }
  }
}
