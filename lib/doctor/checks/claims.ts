/**
 * Whether something has claimed a part of a BAR: the firmware's frame buffer,
 * which the kernel goes on using before, or without, the card's own driver.
 *
 * @module
 */

import type { PciFunction } from "../../host/pci/function.ts";
import { hex } from "../../hex.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

/** Names that the frame buffer's drivers give to what they claim. */
const FRAME_BUFFERS =
  /^(BOOTFB|simpledrm|simplefb|simple-framebuffer.*|efifb|efidrm|vesafb|vesadrm|vga16fb|offb|ofdrm)$/;

/** The platform's drivers for it. */
const DRIVERS = [
  "simple-framebuffer",
  "efi-framebuffer",
  "efidrm",
  "vesa-framebuffer",
  "vesadrm",
  "vga16fb",
];

/** A line of `/proc/iomem`. */
interface Claim {
  readonly start: bigint;
  readonly last: bigint;
  readonly name: string;
}

/**
 * Whether a part of a BAR is claimed, so that vfio-pci cannot have the BAR
 * (`pci_request_selected_regions()` in `vfio_pci_core_mmap()`). Only root sees
 * the addresses.
 */
export function* claims(examined: Examined): Generator<Finding> {
  const all = claimsOf(examined.read("/proc/iomem") ?? "");
  if (all.length === 0) return;
  const passText = "no frame buffer has claimed a part of a BAR";
  yield* examined.checkEach("claims", passText, (fn) => {
    const [first] = claimsIn(fn, all);
    if (first === undefined) return;
    const { index, claim } = first;
    return {
      text: `BAR ${index} is partly claimed by the firmware's frame buffer ` +
        `(${claim.name} at ${hex(claim.start)}), and vfio-pci cannot have it`,
      remedy: releases(examined),
      stops: true,
    };
  });
}

function claimsOf(text: string): Claim[] {
  return text.split("\n").flatMap((line) => {
    const [, start, last, name] =
      /^\s*([0-9a-f]+)-([0-9a-f]+) : (.*)$/.exec(line) ?? [];
    if (name === undefined || !FRAME_BUFFERS.test(name)) return [];
    const claim = {
      start: BigInt(`0x${start}`),
      last: BigInt(`0x${last}`),
      name,
    };
    // Others than root see zeros.
    return claim.last === 0n ? [] : [claim];
  });
}

function claimsIn(fn: PciFunction, all: readonly Claim[]) {
  return fn.bars.filter(({ kind }) => kind === "memory")
    .flatMap(({ index, start, size }) =>
      all.filter((claim) =>
        claim.start >= start && claim.last < start + BigInt(size)
      ).map((claim) => ({ index, claim }))
    );
}

/** What takes the frame buffer's claim away, now and at every boot. */
function releases(examined: Examined): string {
  const bound = DRIVERS.flatMap((driver) => {
    const path = `/sys/bus/platform/drivers/${driver}`;
    return examined.names(path)
      .filter((name) =>
        examined.has(`${path}/${name}/driver_override`) ||
        /\.\d+$/.test(name)
      )
      .map((name) => `echo ${name} > ${path}/unbind`);
  });
  return (bound.length === 0 ? "" : `${bound.join("; ")}; `) +
    "at every boot: initcall_blacklist=sysfb_init on the kernel's command " +
    "line (before Linux 5.15 video=efifb:off)";
}
