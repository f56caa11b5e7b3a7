/**
 * Devices that are known to keep their driver, or to cause trouble.
 *
 * @module
 */

import type { PciFunction } from "../../host/pci/function.ts";
import { cannotMaskIntx, hasNoMsi } from "../../host/pci/quirks.ts";
import type { Examined } from "../examined.ts";
import type { Defect, Finding } from "../finding.ts";

/** What is known of some devices. */
interface Known extends Defect {
  /** Whether it is about a function. */
  matches(fn: PciFunction, examined: Examined): boolean;
  /** The source of that knowledge. */
  readonly source: string;
}

const PCI_VENDOR_ID_ATI = 0x1002;
const PCI_BASE_CLASS_DISPLAY = 0x03;
const PCI_CLASS_SERIAL_USB = 0x0c03;

/**
 * Device ids, from the first to the last, of AMD's graphics that only
 * vendor-reset resets: Polaris, Vega 10 and 20, Navi 10, 12, 14 and 23.
 */
const VENDOR_RESET: ReadonlyArray<readonly [first: number, last: number]> = [
  [0x66a0, 0x66af],
  [0x67c0, 0x67df],
  [0x67e0, 0x67ff],
  [0x6860, 0x687f],
  [0x6980, 0x699f],
  [0x6fdf, 0x6fdf],
  [0x7310, 0x731f],
  [0x7340, 0x734f],
  [0x7360, 0x7362],
  [0x73ff, 0x73ff],
];

/** What is known. Each entry names its source. */
const KNOWN: readonly Known[] = [
  {
    matches: ({ vendor, device, class: code, resetMethods }) =>
      vendor === PCI_VENDOR_ID_ATI && code >> 16 === PCI_BASE_CLASS_DISPLAY &&
      VENDOR_RESET.some(([first, last]) => first <= device && device <= last) &&
      !resetMethods.includes("device_specific"),
    text: "graphics of its family hang after the kernel's reset, so that a " +
      "second start of a guest fails",
    remedy: "load the module vendor-reset before its first use, and write " +
      "device_specific to its reset_method",
    source: "https://github.com/gnif/vendor-reset, README and device-db.h",
  },
  {
    matches: ({ driver }) => driver === "nvidia",
    text: "the driver nvidia does not release the device while a process has " +
      "it open, and taking it waits for that",
    remedy: "stop the display server, nvidia-persistenced and compute jobs " +
      "first: fuser -v /dev/nvidia*",
    source: "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/894",
  },
  {
    matches: ({ driver }) => driver?.startsWith("snd_") ?? false,
    text: "its driver does not release the sound card while a program has it " +
      "open, and taking it waits for that",
    remedy: "end programs that play or record first: fuser -v /dev/snd/*",
    source: "snd_card_free() in sound/core/init.c",
  },
  {
    matches: (fn, examined) =>
      cannotMaskIntx(fn) && sharersOf(fn, examined).length > 0,
    text:
      "its INTx cannot be masked at the device (an erratum), and shares its " +
      "line with other devices, so that VFIO refuses it (EBUSY)",
    remedy: "take what shares its line too (grep . /proc/interrupts), or put " +
      "one of them into another slot; a guest that uses MSI needs INTx too " +
      "while it starts",
    source: "quirk_broken_intx_masking() in drivers/pci/quirks.c and " +
      "vfio_intx_set_signal() in drivers/vfio/pci/vfio_pci_intrs.c",
  },
  {
    matches: hasNoMsi,
    text: "its MSI does not work (an erratum), and it has INTx only",
    source: "quirk_no_msi() in drivers/pci/quirks.c",
  },
  {
    matches: ({ class: code, path }, examined) =>
      code >> 8 === PCI_CLASS_SERIAL_USB && usbDevices(examined, path) > 0,
    text: "the devices on this USB controller go with it, such as keyboards " +
      "and disks",
    remedy: "list them with lsusb -t",
    source: "usb_hcd_pci_remove() in drivers/usb/core/hcd-pci.c",
  },
];

/** What else has the interrupt line of a function, from `/proc/interrupts`. */
function sharersOf({ path }: PciFunction, examined: Examined): string[] {
  const line = Number(examined.read(`${path}/irq`));
  if (!(line > 0)) return [];
  const text = examined.read("/proc/interrupts") ?? "";
  const names = new RegExp(`^\\s*${line}:.*?((?:\\S+, )*\\S+)$`, "m")
    .exec(text)?.[1] ?? "";
  return names.split(", ").slice(1);
}

/** Devices on the buses of a USB controller, but for its root hubs. */
function usbDevices(examined: Examined, path: string): number {
  return examined.names(path).filter((name) => /^usb\d+$/.test(name))
    .flatMap((bus) => examined.names(`${path}/${bus}`))
    .filter((name) => /^\d+-[\d.]+$/.test(name)).length;
}

/** Whether the functions have known problems. */
export function* knownDevices(examined: Examined): Generator<Finding> {
  const check = "known-device";
  let noneFound = true;
  for (const fn of examined.functions) {
    for (const { matches, text, remedy } of KNOWN) {
      if (!matches(fn, examined)) continue;
      noneFound = false;
      yield {
        check,
        verdict: "warn",
        device: fn.address,
        text,
        ...(remedy !== undefined && { remedy }),
      };
    }
  }
  if (noneFound && examined.functions.length > 0) {
    const text = "no function has known problems";
    yield { check, verdict: "pass", text };
  }
}
