/**
 * What the kernel was told about PCI when it was booted.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent } from "../sysfs.ts";

/**
 * Looks for an option of the kernel's parameter `pci=`, which has several, with
 * commas between (`pci_setup()` in `drivers/pci/pci.c`).
 *
 * @param kernel The system.
 * @param name The option: `"noari"`.
 * @returns How it is removed: `"pci=noari"`, or as a part of a longer one.
 */
export function pciOption(kernel: Kernel, name: string): string | undefined {
  const line = ifPresent(() => kernel.readFile("/proc/cmdline")) ?? "";
  const word = line.split(/\s+/).find((word) =>
    word.startsWith("pci=") && word.slice("pci=".length).split(",")
      .includes(name)
  );
  return word === undefined || word === `pci=${name}`
    ? word
    : `${name} of ${word}`;
}
