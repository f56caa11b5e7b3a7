import { toVfioError, VfioError, type VfioErrorCode } from "../../errors.ts";
import { hex } from "../../hex.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../../uapi/linux/eventfd.ts";
import {
  VFIO_DEVICE_IOEVENTFD,
  vfio_device_ioeventfd,
} from "../../uapi/vfio/pci.ts";
import { assertAccess } from "./registers.ts";

/** How an eventfd writes to a register. */
export interface IoEventFdOptions {
  /**
   * The width of the register, in bytes.
   *
   * @default {4}
   */
  readonly width?: 1 | 2 | 4 | 8;
  /**
   * An eventfd of the caller's, such as one that KVM signals. It is not closed
   * here. Nobody else can read it: the kernel takes its count. Default: a new
   * one.
   */
  readonly fd?: number;
}

/** The device of a register. */
interface Owner {
  readonly name: string;
  readonly kernel: Kernel;
  readonly fd: number;
  hold(what: string, release: () => void): () => void;
}

/** The region of a register. */
interface Place {
  readonly index: number;
  readonly name: string;
  readonly size: number;
  /** Where it begins in the device's file. */
  readonly start: bigint;
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/**
 * A write to a register that the kernel makes whenever an eventfd is signalled.
 * It ends with the device's detach at the latest.
 */
export class IoEventFd implements Disposable {
  readonly #device: Owner;
  readonly #own: Fd | undefined;
  readonly #borrowed: number;
  readonly #release: () => void;
  #connected = true;
  /** Where the register is in its region, in bytes. */
  readonly offset: number;
  /** What is written. */
  readonly value: bigint;
  /** The width of the register, in bytes. */
  readonly width: 1 | 2 | 4 | 8;

  /** Made by `Region.ioeventfd`. */
  constructor(
    device: Owner,
    region: Place,
    offset: number,
    value: number | bigint,
    { width = 4, fd }: IoEventFdOptions = {},
  ) {
    assertAccess(region.size, offset, width);
    this.#device = device;
    this.offset = offset;
    this.width = width;
    this.value = valueOf(value, width);
    const { kernel, fd: deviceFd } = device;
    const ask = (eventfd: number) =>
      kernel.ioctl(
        deviceFd,
        VFIO_DEVICE_IOEVENTFD,
        vfio_device_ioeventfd.alloc({
          // The flag of a width is its number of bytes.
          flags: width,
          offset: region.start + BigInt(offset),
          data: this.value,
          fd: eventfd,
        }),
      );
    try {
      this.#own = fd === undefined
        ? Fd.adopt(kernel, kernel.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))
        : undefined;
      this.#borrowed = fd ?? -1;
      ask(this.fd);
    } catch (error) {
      this.#own?.[Symbol.dispose]();
      throw refusal(error, this, region, device.name);
    }
    const disconnect = () => {
      if (!this.#connected) return;
      try {
        ask(-1);
      } catch (error) {
        // It is gone where another process has taken it away.
        if (!hasErrno(error, "ENODEV")) throw error;
      }
      this.#connected = false;
      this.#own?.[Symbol.dispose]();
    };
    // The device's descriptor is open until all that it holds is released.
    const released = device.hold(
      `the ioeventfd of ${region.name} at ${hex(offset)}`,
      disconnect,
    );
    this.#release = () => {
      disconnect();
      released();
    };
  }

  /** The eventfd. A new one is closed when this is disposed of. */
  get fd(): number {
    return this.#own?.number ?? this.#borrowed;
  }

  /**
   * Signals the eventfd.
   *
   * @throws {VfioError} `DETACHED` once it was disposed of, or `KERNEL`.
   */
  signal(): void {
    const { name, kernel } = this.#device;
    if (!this.#connected) {
      throw new VfioError("DETACHED", {
        device: name,
        problem: "the ioeventfd was disposed of, or the device was detached",
        hint: "make another one: region.ioeventfd",
      });
    }
    try {
      kernel.write(this.fd, ONE);
    } catch (error) {
      throw toVfioError(error, "signal the ioeventfd", name);
    }
  }

  /**
   * Ends it. Calling it again does nothing.
   *
   * @throws {VfioError} `KERNEL`. It can be called again.
   */
  [Symbol.dispose](): void {
    try {
      this.#release();
    } catch (error) {
      throw toVfioError(error, "end the ioeventfd", this.#device.name);
    }
  }
}

function valueOf(value: number | bigint, width: number): bigint {
  const isWhole = typeof value === "bigint" || Number.isSafeInteger(value);
  if (isWhole && BigInt.asUintN(8 * width, BigInt(value)) === BigInt(value)) {
    return BigInt(value);
  }
  throw new RangeError(
    `Cannot write ${value}: expected a whole number of ${8 * width} bits`,
  );
}

/** The answers of `vfio_pci_ioeventfd()` that have a meaning of their own. */
const REFUSALS: Readonly<
  Record<string, readonly [code: VfioErrorCode, problem: string, hint: string]>
> = {
  EINVAL: [
    "NOT_SUPPORTED",
    "the kernel takes no ioeventfd there",
    "it takes them in BARs outside of the MSI-X table, and only eventfds",
  ],
  ENOTTY: [
    "NOT_SUPPORTED",
    "the device's driver has no ioeventfds",
    "write to the register when the eventfd is signalled",
  ],
  EEXIST: [
    "KERNEL",
    "that write of that value has an ioeventfd already",
    "dispose of that one first",
  ],
  ENOSPC: [
    "KERNEL",
    "the device has as many ioeventfds as the kernel allows",
    "dispose of those that are not in use: there can be 1000",
  ],
};

function refusal(
  error: unknown,
  { offset, width }: IoEventFd,
  region: Place,
  device: string,
): unknown {
  const doing = `make an ioeventfd of ${width} bytes at ${hex(offset)} of ` +
    region.name;
  const known = Object.entries(REFUSALS)
    .find(([errno]) => hasErrno(error, errno))?.[1];
  if (known === undefined) return toVfioError(error, doing, device);
  const [code, problem, hint] = known;
  return new VfioError(code, {
    device,
    problem: `cannot ${doing}: ${problem}`,
    hint,
    cause: error,
  });
}
