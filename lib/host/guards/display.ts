/**
 * Whether a function is the machine's display.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent, linkTarget, namesIn } from "../sysfs.ts";
import type { Finding } from "./use.ts";

/**
 * VGA controllers have `boot_vga`, all displays `boot_display` since Linux
 * 6.17.
 */
const BOOT_ATTRIBUTES = ["boot_vga", "boot_display"];

const CONSOLES = "/sys/class/vtconsole";

/**
 * Whether a function is the display that the machine booted with, or shows its
 * console. The kernel also knows it where only the firmware's frame buffer is
 * used, without a driver for the function (simpledrm, efifb).
 *
 * @param kernel The system.
 * @param path The function's path in sysfs.
 */
export function displayUses(kernel: Kernel, path: string): Finding[] {
  const text = (file: string) =>
    ifPresent(() => kernel.readFile(file))?.trimEnd() ?? "";
  const found: Finding[] = [];
  if (BOOT_ATTRIBUTES.some((name) => text(`${path}/${name}`) === "1")) {
    found.push({
      kind: "boot display",
      problem: "it is the display that the machine booted with",
    });
  }
  const buffer = linkTarget(kernel, "/sys/class/graphics/fb0");
  if (buffer?.startsWith(`${path}/`)) {
    const bound = namesIn(kernel, CONSOLES).some((name) =>
      text(`${CONSOLES}/${name}/name`).endsWith("frame buffer device") &&
      text(`${CONSOLES}/${name}/bind`) === "1"
    );
    if (bound) {
      found.push({
        kind: "boot display",
        problem: "the console is on its frame buffer fb0",
      });
    }
  }
  return found;
}
