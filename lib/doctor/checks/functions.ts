/**
 * Checks of the functions themselves.
 *
 * @module
 */

import { PCI_COMMAND } from "../../uapi/pci/regs.ts";
import { ConfigSpace } from "../../host/pci/config_space.ts";
import type { Bar, PciFunction } from "../../host/pci/function.ts";
import {
  groupOfVirtual,
  NO_ROOM_FOR_VIRTUAL,
  virtualBarsWithoutRoom,
} from "../../host/pci/virtual/functions.ts";
import { hasIsolatingPort } from "../../host/pci/topology/isolating.ts";
import {
  explainUnreachable,
  numberAt,
} from "../../host/pci/virtual/addresses.ts";
import { counted } from "../../text.ts";
import { sizeText } from "../../host/size_text.ts";
import { type Examined, UNEXAMINED } from "../examined.ts";
import type { Finding } from "../finding.ts";

/** The first address beyond 32 bits. */
const END_OF_32_BITS = 1n << 32n;
/** The size from which a BAR is large for the window below 4 GiB. */
const LARGE = 256 * 2 ** 20;

/**
 * Whether functions may lose their power while they sleep, from which some do
 * not wake. VFIO lets functions sleep while nobody uses them.
 */
export function* idleSleep(examined: Examined): Generator<Finding> {
  const passText = "no function sleeps without power";
  yield* examined.checkEach("idle-sleep", passText, ({ address, path }) => {
    const state = examined.read(`${path}/power_state`);
    if (state === undefined) return UNEXAMINED;
    if (state !== "D3cold") return;
    return {
      text: "it sleeps without power (D3cold), from where some devices do " +
        "not wake",
      remedy: "where it does not: echo 0 > " +
        `/sys/bus/pci/devices/${address}/d3cold_allowed, or load vfio-pci ` +
        "with disable_idle_d3=1",
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
    const command = readCommand(fn);
    if (command === undefined) return UNEXAMINED;
    if (command !== 0xffff_ffff) return;
    return {
      text: "it does not answer: its registers read as ones",
      remedy: "it may have been left asleep (D3cold), or hang after a reset: " +
        "load vfio-pci with disable_idle_d3=1, echo 0 > " +
        `/sys/bus/pci/devices/${fn.address}/d3cold_allowed, and switch the ` +
        "machine off and on again",
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
    if (memory.length === 0) return UNEXAMINED;
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
    if (!capable.includes(fn)) return UNEXAMINED;
    if (virtualBarsWithoutRoom(fn).length === 0) return;
    const { problem, hint } = NO_ROOM_FOR_VIRTUAL;
    return { text: problem, remedy: hint };
  });
}

/** Whether the virtual functions that could be made can be reached. */
export function* virtualBuses(examined: Examined): Generator<Finding> {
  const passText = "each virtual function that could be made has an address";
  yield* examined.checkEach("virtual-buses", passText, (fn) => {
    const total = numberAt(fn, "sriov_totalvfs") ?? 0;
    if (total === 0) return UNEXAMINED;
    const without = explainUnreachable(fn, total);
    if (without === undefined) return;
    const { problem, hint, possible } = without;
    return {
      text: `of ${counted(total, "virtual function")} that it could have, ` +
        `${possible === 0 ? "none" : possible} can be made: ${problem}`,
      remedy: hint,
    };
  });
}

/** Whether virtual functions would be in groups of their own. */
export function* virtualGroups(examined: Examined): Generator<Finding> {
  const passText = "virtual functions would be in groups of their own";
  yield* examined.checkEach("virtual-groups", passText, (fn) => {
    const total = examined.read(`${fn.path}/sriov_totalvfs`);
    if (!(Number(total) > 0) || fn.iommuGroup === undefined) return UNEXAMINED;
    const virtual = groupOfVirtual(fn);
    if (virtual === undefined) return;
    const { group, bridge, reason } = virtual;
    return {
      text:
        `its virtual functions would be in its own IOMMU group ${group.id}` +
        `, as ${bridge.address} ${reason}: none can be handed out while the ` +
        "host has the function",
      remedy: "hand out the function itself" +
        (hasIsolatingPort(examined.kernelHost, [fn])
          ? ", or put the card behind a bridge that isolates"
          : ": no other bridge of this host isolates"),
    };
  });
}
