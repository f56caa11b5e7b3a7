/**
 * Checks of the functions themselves.
 *
 * @module
 */

import { PCI_COMMAND } from "../uapi/pci/regs.ts";
import { ConfigSpace } from "../host/pci/config_space.ts";
import { type Bar, barsIn, type PciFunction } from "../host/pci/function.ts";
import { sizeText } from "../host/size_text.ts";
import type { Examined } from "./examined.ts";
import type { Finding } from "./finding.ts";

/** The first address beyond 32 bits. */
const END_OF_32_BITS = 1n << 32n;
/** The size from which a BAR is large for the window below 4 GiB. */
const LARGE = 256 * 2 ** 20;

/** The lines of `resource` that describe BARs of virtual functions. */
const FIRST_VF_BAR = 7;
const VF_BARS = 6;

/**
 * Whether functions may lose their power while they sleep, from which some do
 * not wake. VFIO lets functions sleep while nobody uses them.
 */
export function* idleSleep(examined: Examined): Generator<Finding> {
  const passText = "no function sleeps without power";
  yield* examined.checkEach("idle-sleep", passText, ({ path }) => {
    if (examined.read(`${path}/power_state`) !== "D3cold") return;
    return {
      text: "it sleeps without power (D3cold), from where some devices do " +
        "not wake",
      remedy: "where it does not: write 0 to its d3cold_allowed, or load " +
        "vfio-pci with disable_idle_d3=1",
    };
  });
}

/**
 * Whether the functions answer. Every read of a function that is gone, or does
 * not wake, gives all ones.
 */
export function* answers(examined: Examined): Generator<Finding> {
  yield* examined.checkEach("answers", "every function answers", (fn) => {
    // The ids are not read: those of a virtual function read as ones.
    if (readCommand(fn) !== 0xffff_ffff) return;
    return {
      text: "it does not answer: its registers read as ones",
      remedy: "it may have been left asleep (D3cold), or hang after a reset: " +
        "load vfio-pci with disable_idle_d3=1, write 0 to its " +
        "d3cold_allowed, and switch the machine off and on again",
      stops: true,
    };
  });
}

function readCommand({ host, path }: PciFunction): number | undefined {
  try {
    using config = new ConfigSpace(host.kernel, path);
    return config.read32(PCI_COMMAND);
  } catch {
    return undefined;
  }
}

/**
 * Whether the BARs have addresses. The kernel leaves a BAR at 0 when it found
 * no room (`drivers/pci/setup-res.c`).
 */
export function* bars(examined: Examined): Generator<Finding> {
  const passText = "every BAR has its address";
  yield* examined.checkEach("bars", passText, (fn) => {
    const memory = fn.bars.filter(({ kind }) => kind === "memory");
    const unplaced = memory.filter(({ start }) => start === 0n);
    if (unplaced.length > 0) {
      const large = unplaced.some(({ size }) => size >= LARGE);
      return {
        text: `${barsText(unplaced)} found no room` +
          (large ? " below 4 GiB" : ""),
        remedy: large
          ? 'switch "Above 4G decoding" on in the firmware\'s set-up'
          : "boot with pci=realloc, or with a newer firmware",
        stops: true,
      };
    }
    const low = memory.filter(({ is64bit, start, size }) =>
      is64bit && size >= LARGE && start < END_OF_32_BITS
    );
    if (low.length === 0) return;
    return {
      text: `${barsText(low)} lies below 4 GiB, where BARs take ` +
        `${sizeText(takenBelow(examined))} of at most about 3 GiB`,
      remedy: 'switch "Above 4G decoding" on in the firmware\'s set-up, ' +
        "before more devices or resizable BARs need the room",
    };
  });
}

function barsText(bars: readonly Bar[]): string {
  return bars.map(({ index, size }) => `BAR ${index} of ${sizeText(size)}`)
    .join(" and ");
}

/** The size of all BARs below 4 GiB together. */
function takenBelow(examined: Examined): number {
  return examined.functions.flatMap(({ bars }) => bars)
    .filter(({ kind, start }) => kind === "memory" && start < END_OF_32_BITS)
    .reduce((sum, { size }) => sum + size, 0);
}

/** Whether there is room for the virtual functions that could be made. */
export function* virtualBars(examined: Examined): Generator<Finding> {
  const capable = examined.functions.filter(({ path }) =>
    Number(examined.read(`${path}/sriov_totalvfs`)) > 0
  );
  if (capable.length === 0) return;
  const passText = "there is room for the virtual functions that could be made";
  yield* examined.checkEach("virtual-bars", passText, (fn) => {
    if (!capable.includes(fn)) return;
    const lines = (examined.read(`${fn.path}/resource`) ?? "").split("\n")
      .slice(FIRST_VF_BAR, FIRST_VF_BAR + VF_BARS);
    const unplaced = barsIn(lines).filter(({ start }) => start === 0n);
    if (unplaced.length === 0) return;
    return {
      text: "the BARs of its virtual functions found no room, and none can " +
        "be made",
      remedy: 'switch SR-IOV and "Above 4G decoding" on in the firmware\'s ' +
        "set-up, or boot with pci=realloc",
    };
  });
}

/** Whether the kernel can reset the functions between two users. */
export function* reset(examined: Examined): Generator<Finding> {
  yield* examined.checkEach(
    "reset",
    "the kernel can reset every function",
    (fn) => {
      // Before Linux 5.15 the kernel says whether it can reset, but not how.
      if (fn.resetMethods.length > 0) return;
      if (
        examined.has(`${fn.path}/reset`) &&
        !examined.has(`${fn.path}/reset_method`)
      ) {
        return;
      }
      return {
        text: "the kernel cannot reset it: its next user finds what the last " +
          "one left in it",
        remedy:
          "take all functions on its bus, which VFIO then resets as one; " +
          "or share it only among users that trust each other",
      };
    },
  );
}
