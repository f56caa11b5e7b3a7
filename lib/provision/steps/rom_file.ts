/**
 * Files that hold a copy of a function's expansion ROM.
 *
 * @module
 */

import { idPair } from "../../hex.ts";
import { VfioError } from "../../errors.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { decodeRom, isRomOf } from "../../pci/rom_image.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import { readAll } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_RDONLY } from "../../uapi/linux/fcntl.ts";
import { PCI_ROM_MAX_SIZE } from "../../uapi/pci/rom.ts";
import { S_IFMT, S_IFREG } from "../../uapi/linux/statx.ts";
import { orFileError } from "../../host/journal/file_error.ts";
import { readLink } from "../journal/files.ts";

/**
 * Returns whether a file holds a ROM of a function.
 *
 * @param fn The function.
 * @param path The file.
 * @returns `false` where nothing is at the path.
 * @throws {VfioError} `NOT_SUPPORTED` when something else is there,
 * `IDENTITY_CHANGED` when it is the ROM of other functions, `PERMISSION_DENIED`
 * or `KERNEL`.
 */
export function holdsRom(fn: PciFunction, path: string): boolean {
  const bytes = orFileError(() => readRomFile(fn.host.kernel, path), path);
  if (bytes === null) return false;
  assertRomOf(
    fn,
    bytes,
    path,
    "give another path, or remove the file: its ROM is copied again then",
  );
  return true;
}

/**
 * Reads a file, up to the largest size of a ROM.
 *
 * @param kernel The system.
 * @param path The file.
 * @returns Its contents; empty for what is not a regular file, and `null` where
 * nothing is at the path.
 */
export function readRomFile(
  kernel: Kernel,
  path: string,
): Uint8Array<ArrayBuffer> | null {
  if (readLink(kernel, path) === null) return null;
  try {
    // Opening anything else may have side effects, or block.
    if ((kernel.stat(path).mode & S_IFMT) !== S_IFREG) return new Uint8Array();
    using file = Fd.open(kernel, path, O_RDONLY);
    return readAll(kernel, file.number, PCI_ROM_MAX_SIZE);
  } catch (error) {
    // The path is a dangling link.
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return new Uint8Array();
    throw error;
  }
}

/**
 * Asserts that bytes are a ROM of a function.
 *
 * @param fn The function.
 * @param bytes The bytes.
 * @param subject What the bytes are, for the error.
 * @param hint The hint of the error.
 * @throws {VfioError} `NOT_SUPPORTED` when they are no ROM, or only a part of
 * one; `IDENTITY_CHANGED` when it is a ROM of other functions.
 */
export function assertRomOf(
  fn: PciFunction,
  bytes: Uint8Array,
  subject: string,
  hint: string,
): void {
  const rom = decodeRom(bytes);
  const refuse = (
    code: "NOT_SUPPORTED" | "IDENTITY_CHANGED",
    problem: string,
  ) => new VfioError(code, { device: fn.address, problem, hint });
  if (rom.images.length === 0) {
    throw refuse(
      "NOT_SUPPORTED",
      `${subject} is no ROM: it does not begin with an image, 55 AA and PCIR`,
    );
  }
  if (!isRomOf(rom, fn)) {
    const ids = rom.images.flatMap(({ vendor, devices }) =>
      devices.map((device) => idPair(vendor, device))
    );
    throw refuse(
      "IDENTITY_CHANGED",
      `${subject} is the ROM of ${[...new Set(ids)].join(", ")}, and this ` +
        `function is ${idPair(fn.vendor, fn.device)}`,
    );
  }
  if (bytes.length < rom.length) {
    throw refuse(
      "NOT_SUPPORTED",
      `${subject} is truncated: its images have ${rom.length} bytes, and it ` +
        `has ${bytes.length}`,
    );
  }
}
