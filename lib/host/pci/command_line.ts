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
  const word = words(kernel).find((word) => optionsIn(word).includes(name));
  return word === undefined || word === `pci=${name}`
    ? word
    : `${name} of ${word}`;
}

/**
 * The value of an option of the kernel's parameter `pci=`.
 *
 * @param kernel The system.
 * @param name The option: `"config_acs"`.
 */
export function pciValue(kernel: Kernel, name: string): string | undefined {
  return words(kernel).flatMap(optionsIn)
    .find((option) => option.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}

function words(kernel: Kernel): string[] {
  return (ifPresent(() => kernel.readFile("/proc/cmdline")) ?? "").split(/\s+/)
    .filter((word) => word.startsWith("pci="));
}

function optionsIn(word: string): string[] {
  return word.slice("pci=".length).split(",");
}
