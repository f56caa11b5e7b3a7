/**
 * The addresses of virtual functions before they are made, and whether the
 * kernel can number them (`drivers/pci/iov.c`).
 *
 * @module
 */

import { hex } from "../../hex.ts";
import { formatPciAddress, parsePciAddress } from "../../pci/address.ts";
import type { Explanation } from "../iommu/explanation.ts";
import { dirname } from "../path.ts";
import { ifPresent } from "../sysfs.ts";
import { pciOption } from "./command_line.ts";
import type { PciFunction } from "./function.ts";

/** A bus number has 8 bits. */
const LAST_BUS = 0xff;

/**
 * Computes the addresses of a function's virtual functions before they are
 * made, from its SR-IOV capability.
 *
 * @param fn The function.
 * @param count How many there will be.
 * @returns `undefined` where the hardware does not say them.
 */
export function virtualAddresses(
  fn: PciFunction,
  count: number,
): string[] | undefined {
  const { domain } = parsePciAddress(fn.address);
  return routingIds(fn, count)?.map((id) =>
    formatPciAddress({
      domain,
      bus: id >> 8,
      slot: id >> 3 & 0x1f,
      function: id & 7,
    })
  );
}

/** Bus, slot and function of each virtual function as one number. */
function routingIds(fn: PciFunction, count: number): number[] | undefined {
  const offset = numberAt(fn, "sriov_offset") ?? 0;
  const stride = numberAt(fn, "sriov_stride") ?? 0;
  if (offset === 0 || count > 1 && stride === 0) return undefined;
  const { bus, slot, function: number } = parsePciAddress(fn.address);
  const first = (bus << 8 | slot << 3 | number) + offset;
  return Array.from({ length: count }, (_, i) => first + stride * i);
}

/** Virtual functions that the kernel cannot number. */
export interface WithoutBus extends Explanation {
  /** How many it can number. */
  readonly possible: number;
}

/**
 * Why virtual functions would be on buses that the bridge above does not lead
 * to, so that the kernel makes none of them (`ENOMEM` of `sriov_enable()`).
 *
 * @param fn The physical function.
 * @param count How many there would be.
 * @returns `undefined` where there is a bus for each.
 */
export function explainNoBus(
  fn: PciFunction,
  count: number,
): WithoutBus | undefined {
  const { kernel } = fn.host;
  const bridge = dirname(fn.path);
  const text = ifPresent(() =>
    kernel.readFile(`${bridge}/subordinate_bus_number`)
  );
  // Sysfs does not say which buses a root bus leads to.
  const end = text === undefined ? LAST_BUS : Number(text);
  const ids = routingIds(fn, count) ?? [];
  const possible = ids.findIndex((id) => id >> 8 > end);
  if (possible < 0) return undefined;
  const fewer = possible === 0 ? "" : `ask for ${possible} at most, or `;
  return {
    problem: `its virtual function ${count - 1} would be on bus ` +
      `${hex(ids.at(-1)! >> 8, 2)}, and its bridge leads to buses up to ` +
      hex(end, 2),
    hint: fewer + moreBuses(fn, end),
    possible,
  };
}

/** What gives virtual functions bus numbers. */
function moreBuses(fn: PciFunction, end: number): string {
  if (end === LAST_BUS) return "put the card where its bus has a lower number";
  const numbering = "boot with pci=assign-busses";
  // With ARI, many are on the bus of the function (`sriov_init()`).
  if (numberAt(fn, "ari_enabled") !== 0) return numbering;
  const off = pciOption(fn.host.kernel, "noari");
  return off !== undefined
    ? `remove ${off} from the kernel's command line, which keeps virtual ` +
      "functions off the bus of their function"
    : `${numbering}; behind a port that forwards ARI, which some firmware ` +
      "can switch on, they would need fewer buses";
}

/** The number in an attribute, if the function has it. */
export function numberAt(fn: PciFunction, name: string): number | undefined {
  const text = ifPresent(() => fn.host.kernel.readFile(`${fn.path}/${name}`));
  return text === undefined ? undefined : Number(text);
}
