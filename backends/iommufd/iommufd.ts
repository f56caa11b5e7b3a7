import { toVfioError, VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { IOMMUFD_NODE } from "../../lib/host/iommu/nodes.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { Fd } from "../../lib/kernel/fd.ts";
import { F_DUPFD_CLOEXEC, O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import {
  IOMMU_IOAS_CHANGE_PROCESS,
  iommu_ioas_change_process,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS,
  iommu_vfio_ioas,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
} from "../../lib/uapi/iommufd/options.ts";
import { IommufdFile } from "./core/iommufd_file.ts";
import { getOption, setOption } from "./core/options.ts";
import { Ioas } from "./ioas/ioas.ts";

/** Whose the limit on locked memory is. */
export type MemoryAccount = "user" | "process";

/**
 * An iommufd: IO address spaces, page tables and what belongs to them
 * (`Documentation/userspace-api/iommufd.rst`). Closing it destroys all of it,
 * what keeps others first.
 *
 * @example One iommufd for two address spaces
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { Iommufd } from "@passthru/vfio/iommufd";
 *
 * using iommufd = Iommufd.open();
 * await using first = new AddressSpace({ iommufd });
 * await using second = new AddressSpace({ iommufd });
 * await using device = await VfioDevice.attach("0000:01:00.0", first);
 * console.log(device.deviceId, second.backend);
 * ```
 */
export class Iommufd extends IommufdFile implements Disposable {
  /**
   * Opens one.
   *
   * @param host The host. Default: this machine.
   * @throws {VfioError} `BACKEND_UNAVAILABLE` where the kernel has none,
   * `PERMISSION_DENIED`, `KERNEL`.
   */
  static open(host: Host = new Host()): Iommufd {
    const { kernel } = host;
    try {
      return new Iommufd(kernel, Fd.open(kernel, IOMMUFD_NODE, O_RDWR));
    } catch (error) {
      throw notOpened(error);
    }
  }

  /**
   * Takes one that somebody has opened. Its descriptor stays open; what is made
   * here is destroyed when this is closed.
   *
   * @param fd The descriptor.
   * @param host The host. Default: this machine.
   * @throws {VfioError} `KERNEL` if it is not open.
   */
  static from(fd: number, host: Host = new Host()): Iommufd {
    const { kernel } = host;
    try {
      return new Iommufd(
        kernel,
        Fd.adopt(kernel, kernel.fcntl(fd, F_DUPFD_CLOEXEC)),
      );
    } catch (error) {
      throw notOpened(error);
    }
  }

  /**
   * Makes an IO address space without a mapping.
   *
   * @throws {VfioError} `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  allocateIoas(): Ioas {
    return Ioas.allocate(this);
  }

  /**
   * Whose the limit on locked memory is: that of all processes of the user, or
   * that of this process.
   */
  get memoryAccount(): MemoryAccount {
    const mode = getOption(this, IOMMU_OPTION_RLIMIT_MODE);
    return mode === 0n ? "user" : "process";
  }

  /**
   * Says whose the limit on locked memory is, before anything is made.
   *
   * @throws {VfioError} `IN_USE` once anything was made, `PERMISSION_DENIED`
   * without `CAP_SYS_RESOURCE`.
   */
  set memoryAccount(account: MemoryAccount) {
    if (account !== "user" && account !== "process") {
      throw new TypeError(
        `Cannot take account ${JSON.stringify(account)}: expected "user" or ` +
          '"process"',
      );
    }
    try {
      setOption(this, IOMMU_OPTION_RLIMIT_MODE, account === "process");
    } catch (error) {
      const { cause } = error as Error;
      if (!hasErrno(cause, "EBUSY")) throw error;
      throw new VfioError("IN_USE", {
        problem: "the iommufd has objects, whose memory is counted already",
        hint: "choose before anything is made in it",
        cause,
      });
    }
  }

  /**
   * The IOAS that the ioctls of a VFIO container work on, when they are made on
   * this iommufd; `undefined` where there is none. It is not kept: destroying it
   * leaves none.
   *
   * @returns It, or the number of one that was not made here.
   */
  get compatibilityIoas(): Ioas | number | undefined {
    const argument = iommu_vfio_ioas.alloc({ op: IOMMU_VFIO_IOAS_GET });
    const doing = "ask for the compatibility IOAS";
    try {
      this.call(doing, IOMMU_VFIO_IOAS, argument);
    } catch (error) {
      if (hasErrno((error as Error).cause, "ENODEV")) return undefined;
      throw error;
    }
    const { ioas_id } = iommu_vfio_ioas.decode(argument);
    for (const owned of this.owned) {
      if (owned instanceof Ioas && owned.id === ioas_id) return owned;
    }
    return ioas_id;
  }

  /** Sets it, or takes it away. */
  set compatibilityIoas(ioas: Ioas | undefined) {
    ioas?.assertIn(this);
    const argument = iommu_vfio_ioas.alloc(
      ioas === undefined
        ? { op: IOMMU_VFIO_IOAS_CLEAR }
        : { op: IOMMU_VFIO_IOAS_SET, ioas_id: ioas.id },
    );
    this.call("set the compatibility IOAS", IOMMU_VFIO_IOAS, argument);
  }

  /**
   * Counts all that is mapped as this process's: a process that inherited the
   * iommufd takes it over (Linux 6.14). All of it must be mapped by files, which
   * this process need not have mapped.
   *
   * @throws {VfioError} `NOT_SUPPORTED` where something is mapped by its
   * address, or is a dma-buf; `MEMLOCK_LIMIT` where this process may lock less.
   * Nothing has changed then.
   */
  changeProcess(): void {
    const argument = iommu_ioas_change_process.alloc();
    const doing = "take over what is mapped";
    try {
      this.call(doing, IOMMU_IOAS_CHANGE_PROCESS, argument);
    } catch (error) {
      const { cause } = error as Error;
      if (hasErrno(cause, "ENOMEM")) {
        throw new VfioError("MEMLOCK_LIMIT", {
          problem: `cannot ${doing}: this process may not lock as much`,
          hint: "raise the limit: ulimit -l, or LimitMEMLOCK= in the systemd " +
            "unit",
          cause,
        });
      }
      if (!hasErrno(cause, "EINVAL")) throw error;
      throw new VfioError("NOT_SUPPORTED", {
        problem: `cannot ${doing}: not all of it is mapped by files`,
        hint: "map memfds: ioas.mapFile()",
        cause,
      });
    }
  }

  /**
   * Destroys all that was made in it, what keeps others first, and closes it.
   * Does nothing once it is closed.
   *
   * @throws {VfioError} `IN_USE` while an address space lives in it; what
   * destroying an object throws. It is closed then all the same.
   */
  close(): void {
    if (this.closed) return;
    this.assertUnused();
    const failures: unknown[] = [];
    for (const owned of [...this.devices, ...[...this.owned].reverse()]) {
      try {
        owned.destroy();
      } catch (error) {
        failures.push(error);
      }
    }
    this.fd[Symbol.dispose]();
    if (failures.length > 0) throw failures[0];
  }

  /** The same as {@linkcode Iommufd.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function notOpened(error: unknown): unknown {
  if (hasErrno(error, "EACCES", "EPERM")) {
    return new VfioError("PERMISSION_DENIED", {
      problem: `this user may not open ${IOMMUFD_NODE}`,
      hint: "give it the node, with a udev rule or chown; or run as root",
      cause: error,
    });
  }
  if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO")) {
    return new VfioError("BACKEND_UNAVAILABLE", {
      problem: `${IOMMUFD_NODE} does not answer`,
      hint: "take a kernel with CONFIG_IOMMUFD",
      cause: error,
    });
  }
  return toVfioError(error, "open an iommufd");
}
