/**
 * Reading sysfs: attributes, links, and what their errors mean.
 *
 * @module
 */

import { VfioError } from "../errors.ts";
import { errnoNumber, hasErrno, KernelError } from "../kernel/errno.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { basename, dirname, resolve } from "./path.ts";

/**
 * Explains what a failed access to sysfs means for a device. Returns errors
 * that are not {@linkcode KernelError}s unchanged.
 *
 * @param error What the kernel threw.
 * @param device The device it is about, if any.
 * @returns `PERMISSION_DENIED`, `DEVICE_NOT_FOUND` or `KERNEL`.
 */
export function sysfsError(error: unknown, device?: string): unknown {
  if (!(error instanceof KernelError)) return error;
  const { path = "sysfs", message } = error;
  if (hasErrno(error, "EACCES", "EPERM", "EROFS")) {
    return new VfioError("PERMISSION_DENIED", {
      device,
      problem: `this user may not access ${path}`,
      hint: error.code === "EROFS"
        ? "sysfs is mounted read-only: run this outside the container, or " +
          "mount /sys read-write in it"
        : "run as root, or let root make the attribute accessible",
      cause: error,
    });
  }
  if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO")) {
    return new VfioError("DEVICE_NOT_FOUND", {
      device,
      problem: `it was removed from the host, or it has no ${path}`,
      cause: error,
    });
  }
  return new VfioError("KERNEL", {
    device,
    problem: message,
    cause: error,
  });
}

/**
 * The text of an attribute, without the newline at its end. A text that lacks
 * the newline is incomplete, and an error.
 *
 * @param kernel The system.
 * @param path The attribute.
 * @param device The device it belongs to, for errors.
 */
export function readAttribute(
  kernel: Kernel,
  path: string,
  device?: string,
): string {
  try {
    return withoutNewline(path, kernel.readFile(path));
  } catch (error) {
    throw sysfsError(error, device);
  }
}

/** Removes the newline that an attribute's text must end with. */
export function withoutNewline(path: string, text: string): string {
  if (text.endsWith("\n")) return text.trimEnd();
  // The text may be written back later, so it must be complete.
  throw incomplete(path);
}

/** The error for an attribute whose text is incomplete. */
export function incomplete(path: string): KernelError {
  return new KernelError(errnoNumber("EBADMSG"), "read", path);
}

/** What `read` returns, or `undefined` where the file does not exist. */
export function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // ENOTDIR: a part of the path is a file. ENODEV: the device disappeared
    // while its attribute was read.
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ENODEV")) return undefined;
    throw sysfsError(error);
  }
}

/** Whether a file exists. */
export function exists(kernel: Kernel, path: string): boolean {
  return ifPresent(() => kernel.stat(path)) !== undefined;
}

/** The names in a directory; none where it is not there. */
export function namesIn(kernel: Kernel, path: string): string[] {
  return ifPresent(() => kernel.readdir(path)) ?? [];
}

/**
 * Where a link in sysfs leads, as an absolute path. The directory that the
 * link lies in must be a real path.
 *
 * @returns The path, or `undefined` where there is no such link.
 */
export function linkTarget(kernel: Kernel, path: string): string | undefined {
  const target = ifPresent(() => kernel.readlink(path));
  if (target === undefined) return undefined;
  return resolve(dirname(path), target);
}

/** The last part of what a link leads to, or `undefined` without the link. */
export function linkName(kernel: Kernel, path: string): string | undefined {
  const target = ifPresent(() => kernel.readlink(path));
  return target === undefined ? undefined : basename(target);
}

/** How many links Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * Resolves every link in a path.
 *
 * @param kernel The system.
 * @param path An absolute path.
 * @returns The real path, or `undefined` where there is no such file.
 */
export function realPath(kernel: Kernel, path: string): string | undefined {
  const rest = resolve(path).split("/").slice(1);
  let real = "/";
  let links = 0;
  while (rest.length > 0) {
    const next = resolve(real, rest.shift()!);
    try {
      const target = kernel.readlink(next);
      if (++links > MAX_LINKS) return undefined;
      const followed = resolve(real, target, ...rest);
      rest.splice(0, rest.length, ...followed.split("/").slice(1));
      real = "/";
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      if (!hasErrno(error, "EINVAL")) throw sysfsError(error);
      real = next; // it is no link
    }
  }
  return real;
}
