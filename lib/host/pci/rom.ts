/**
 * Reading expansion ROMs.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno, type KernelError } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import { readAll } from "../../kernel/files.ts";
import { O_RDWR } from "../../uapi/linux/fcntl.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../uapi/pci/regs.ts";
import { PCI_ROM_MAX_SIZE } from "../../uapi/pci/rom.ts";
import { ConfigSpace } from "./config_space.ts";
import type { PciFunction } from "./function.ts";
import { exists, ifPresent, sysfsError } from "../sysfs.ts";

// What switches reading off. Before `pci_write_rom()` parsed a truth value, it
// was switched off by exactly this and on by any other text.
const ENABLE = new TextEncoder().encode("1");
const DISABLE = new TextEncoder().encode("0\n");

/** Whether sysfs has a function's expansion ROM. */
export function hasRom({ host, path }: PciFunction): boolean {
  return exists(host.kernel, `${path}/rom`);
}

/**
 * Reads a function's expansion ROM: its images, as far as the kernel finds any
 * (`pci_read_rom()` in `drivers/pci/pci-sysfs.c`). Afterwards reading it is
 * switched off, whatever it was before.
 *
 * @param fn The function.
 * @throws {VfioError} `NOT_SUPPORTED` when the function gives no image,
 * `PERMISSION_DENIED`, `DEVICE_NOT_FOUND` or `KERNEL`.
 */
export function readRom(fn: PciFunction): Uint8Array<ArrayBuffer> {
  const { kernel } = fn.host;
  return withRom(fn, (rom) => {
    try {
      kernel.pwrite(rom, ENABLE, 0n);
      return readImages(fn, rom);
    } finally {
      kernel.pwrite(rom, DISABLE, 0n);
    }
  });
}

/**
 * Switches off reading a function's expansion ROM, as it is after
 * {@linkcode readRom}.
 *
 * @param fn The function.
 * @throws {VfioError} `PERMISSION_DENIED`, `DEVICE_NOT_FOUND` or `KERNEL`.
 */
export function hideRom(fn: PciFunction): void {
  withRom(fn, (rom) => fn.host.kernel.pwrite(rom, DISABLE, 0n));
}

/**
 * Asserts that this user may read a function's expansion ROM.
 *
 * @param fn The function.
 * @throws {VfioError} `PERMISSION_DENIED`, `DEVICE_NOT_FOUND` or `KERNEL`.
 */
export function assertRomAccess(fn: PciFunction): void {
  withRom(fn, () => {});
}

function withRom<T>(fn: PciFunction, work: (rom: number) => T): T {
  try {
    using rom = Fd.open(fn.host.kernel, `${fn.path}/rom`, O_RDWR);
    return work(rom.number);
  } catch (error) {
    throw sysfsError(error, fn.address);
  }
}

function readImages(fn: PciFunction, rom: number): Uint8Array<ArrayBuffer> {
  try {
    return readAll(fn.host.kernel, rom, PCI_ROM_MAX_SIZE);
  } catch (error) {
    // `pci_map_rom()` in `drivers/pci/rom.c`
    if (!hasErrno(error, "EIO")) throw error;
    throw noImage(fn, error);
  }
}

function noImage(fn: PciFunction, cause: KernelError): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: "its ROM shows no image: the kernel finds no signature in it",
    hint: whyNoImage(fn),
    cause,
  });
}

function whyNoImage({ host: { kernel }, path }: PciFunction): string {
  // Checked before config space is read, as that would wake the function.
  const state = ifPresent(() => kernel.readFile(`${path}/power_state`))?.trim();
  if (state?.startsWith("D3")) {
    return `it sleeps in ${state}: wake it, echo on > ${path}/power/control`;
  }
  using config = new ConfigSpace(kernel, path);
  const command = config.read16(PCI_COMMAND) ?? PCI_COMMAND_MEMORY;
  return (command & PCI_COMMAND_MEMORY) === 0
    ? "nobody has enabled it: give it to its driver first, or " +
      `echo 1 > ${path}/enable`
    : "the firmware may have hidden it, as with the display that the machine " +
      "booted with: boot with another one, or take a file of the vendor's";
}
