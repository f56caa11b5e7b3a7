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
 * What a failed access to sysfs means for `device`. What is no
 * {@linkcode KernelError} is given back as it is.
 *
 * @param error What the kernel threw.
 * @param device The device it is about, where it is about one.
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
      problem: `the host has it no longer, or it has no ${path}`,
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
 * The text of an attribute, without the newline at its end. Each of those that
 * are read by this has one: a text without it is not all of the attribute's.
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

/** The text of an attribute that has a newline at its end, without it. */
export function withoutNewline(path: string, text: string): string {
  if (text.endsWith("\n")) return text.trimEnd();
  // What was read of it may be written back one day.
  throw incomplete(path);
}

/** What is thrown for an attribute that does not say what it must. */
export function incomplete(path: string): KernelError {
  return new KernelError(errnoNumber("EBADMSG"), "read", path);
}

/** What `read` gives, or `undefined` where the file is not there. */
export function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // ENOTDIR: a part of the path is a file. ENODEV: the device went while
    // its attribute was read.
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ENODEV")) return undefined;
    throw sysfsError(error);
  }
}

/** Whether there is such a file. */
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

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * The path without any link in it.
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
