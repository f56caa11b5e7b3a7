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

/** Where 32 bits end. */
const END_OF_32_BITS = 1n << 32n;
/** From here on a BAR is large for the window below 4 GiB. */
const LARGE = 256 * 2 ** 20;

/** Lines of `resource` that are about BARs of virtual functions. */
const FIRST_VF_BAR = 7;
const VF_BARS = 6;

/**
 * Whether functions may lose their power while they sleep, from which some do
 * not wake. VFIO lets functions sleep while nobody uses them.
 */
export function* idleSleep(on: Examined): Generator<Finding> {
  const fine = "no function sleeps without power";
  yield* on.checkEach("idle-sleep", fine, ({ path }) => {
    if (on.read(`${path}/power_state`) !== "D3cold") return;
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
export function* answers(on: Examined): Generator<Finding> {
  yield* on.checkEach("answers", "every function answers", (fn) => {
    // Not the ids: a virtual function has none of its own.
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
export function* bars(on: Examined): Generator<Finding> {
  const fine = "every BAR has its address";
  yield* on.checkEach("bars", fine, (fn) => {
    const memory = fn.bars.filter(({ kind }) => kind === "memory");
    const homeless = memory.filter(({ start }) => start === 0n);
    if (homeless.length > 0) {
      const large = homeless.some(({ size }) => size >= LARGE);
      return {
        text: `${barsText(homeless)} found no room` +
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
        `${sizeText(takenBelow(on))} and hardly ever have more than 3 GiB`,
      remedy: 'switch "Above 4G decoding" on in the firmware\'s set-up, ' +
        "before more devices or resizable BARs need the room",
    };
  });
}

function barsText(bars: readonly Bar[]): string {
  return bars.map(({ index, size }) => `BAR ${index} of ${sizeText(size)}`)
    .join(" and ");
}

/** What all BARs below 4 GiB take. */
function takenBelow(on: Examined): number {
  return on.functions.flatMap(({ bars }) => bars)
    .filter(({ kind, start }) => kind === "memory" && start < END_OF_32_BITS)
    .reduce((sum, { size }) => sum + size, 0);
}

/** Whether there is room for the virtual functions that could be made. */
export function* virtualBars(on: Examined): Generator<Finding> {
  const capable = on.functions.filter(({ path }) =>
    Number(on.read(`${path}/sriov_totalvfs`)) > 0
  );
  if (capable.length === 0) return;
  const fine = "there is room for the virtual functions that could be made";
  yield* on.checkEach("virtual-bars", fine, (fn) => {
    if (!capable.includes(fn)) return;
    const lines = (on.read(`${fn.path}/resource`) ?? "").split("\n")
      .slice(FIRST_VF_BAR, FIRST_VF_BAR + VF_BARS);
    const homeless = barsIn(lines).filter(({ start }) => start === 0n);
    if (homeless.length === 0) return;
    return {
      text: "the BARs of its virtual functions found no room, and none can " +
        "be made",
      remedy: 'switch SR-IOV and "Above 4G decoding" on in the firmware\'s ' +
        "set-up, or boot with pci=realloc",
    };
  });
}

/** Whether the kernel can reset the functions between two users. */
export function* reset(on: Examined): Generator<Finding> {
  yield* on.checkEach("reset", "the kernel can reset every function", (fn) => {
    // Before Linux 5.15 the kernel says whether it can reset, but not how.
    if (fn.resetMethods.length > 0) return;
    if (on.has(`${fn.path}/reset`) && !on.has(`${fn.path}/reset_method`)) {
      return;
    }
    return {
      text: "the kernel cannot reset it: its next user finds what the last " +
        "one left in it",
      remedy: "take all functions on its bus, which VFIO then resets as one; " +
        "or let only those use it that trust each other",
    };
  });
}
