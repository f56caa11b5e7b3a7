/**
 * What an ioctl is called, its number, and what its argument is: enough to make
 * the call, to print it, and to answer it in a simulation.
 *
 * @module
 */

/**
 * What the third argument of `ioctl` is:
 *
 * - `none`: nothing; 0 is passed
 * - `value`: the number itself
 * - `fd`: a pointer to a file descriptor, `__s32`
 * - `u32`: a pointer to a `__u32`
 * - `string`: a pointer to a string that ends in a NUL
 * - `struct`: a pointer to a struct
 */
export type IoctlArgument =
  | "none"
  | "value"
  | "fd"
  | "u32"
  | "string"
  | "struct";

/** A struct's layout, where its members do not matter: any `Struct`. */
export interface StructLayout {
  /** The struct's name in the kernel's header. */
  readonly type: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Reads the struct from `bytes`, from byte offset `at` on. */
  decode(bytes: Uint8Array, at?: number): Readonly<Record<string, unknown>>;
  /** Reads the elements behind the struct, where its `count` says how many. */
  decodeTail?(bytes: Uint8Array): Readonly<Record<string, unknown>>;
}

/** One ioctl of the kernel's. */
export interface Ioctl {
  /** Its name in the kernel's header. */
  readonly name: string;
  /**
   * Its number. Two ioctls may share one: those of a container, of a group, of
   * a device and of a migration file overlap, and the file decides.
   */
  readonly request: number;
  /** What its argument is. */
  readonly argument: IoctlArgument;
  /** The struct, where the argument is one. */
  readonly struct?: StructLayout;
  /** Decodes an argument whose kind depends on what is in it, for people. */
  readonly decode?: (
    argument: Uint8Array,
  ) => Readonly<Record<string, unknown>>;
}

/**
 * `_IO(type, number)` of `asm-generic/ioctl.h`: no size and no direction in the
 * request, as everything in VFIO and iommufd is. (Alpha, MIPS, PowerPC and
 * SPARC put a bit for "no direction" there; x86-64 and arm64 do not.)
 *
 * @param name The name in the kernel's header.
 * @param type The subsystem's letter, as a character code.
 * @param number The ioctl's number within the subsystem.
 * @param argument What the argument is; for a struct, its layout.
 * @returns The descriptor.
 *
 * @example An ioctl that a newer kernel has, and this library does not
 * ```ts
 * import { io, struct, u32, VFIO_BASE, VFIO_TYPE } from "@passthru/vfio/uapi";
 *
 * const doorbell = struct("doorbell", { argsz: u32, flags: u32, index: u32 });
 * const ring = io("DOORBELL_RING", VFIO_TYPE, VFIO_BASE + 40, doorbell);
 * const argument = doorbell.alloc({ index: 1 });
 * console.log(ring.request, argument.length); // 15244 12
 * // host.kernel.ioctl(device.fd, ring, argument);
 * ```
 */
export function io(
  name: string,
  type: number,
  number: number,
  argument: Exclude<IoctlArgument, "struct"> | StructLayout,
): Ioctl {
  const request = type << 8 | number;
  return typeof argument === "string"
    ? { name, request, argument }
    : { name, request, argument: "struct", struct: argument };
}

/** `_IOC_WRITE` and `_IOC_READ`: who is written to is the kernel, or user space. */
const WRITE = 1;
const READ = 2;

/**
 * `_IOW(type, number, struct)` of `asm-generic/ioctl.h`: the kernel reads the
 * struct, whose size is in the request.
 *
 * @param name The name in the kernel's header.
 * @param type The subsystem's letter, as a character code.
 * @param number The ioctl's number within the subsystem.
 * @param struct The layout.
 * @returns The descriptor.
 */
export function iow(
  name: string,
  type: number,
  number: number,
  struct: StructLayout,
): Ioctl {
  return sized(WRITE, io(name, type, number, struct), struct);
}

/** The same for `_IOWR`: the kernel also writes to the struct. */
export function iowr(
  name: string,
  type: number,
  number: number,
  struct: StructLayout,
): Ioctl {
  return sized(WRITE | READ, io(name, type, number, struct), struct);
}

function sized(direction: number, ioctl: Ioctl, struct: StructLayout): Ioctl {
  const bits = direction << 30 | struct.size << 16 | ioctl.request;
  return { ...ioctl, request: bits >>> 0 };
}
