/**
 * The addresses of virtual functions before they are made, and whether the
 * kernel can make them there (`drivers/pci/iov.c`).
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import { formatPciAddress, parsePciAddress } from "../../../pci/address.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import type { Explanation } from "../../iommu/explanation.ts";
import { dirname } from "../../path.ts";
import { ifPresent } from "../../sysfs.ts";
import { pciOption } from "../command_line.ts";
import type { PciFunction } from "../function.ts";

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

/** Virtual functions that the kernel cannot make for their addresses. */
export interface Unreachable extends Explanation {
  /** How many it can make. */
  readonly possible: number;
}

/**
 * Why the kernel can make no virtual functions at their addresses
 * (`sriov_enable()`): they would be on buses that the bridge above does not lead
 * to (`ENOMEM`), or on their function's bus at device numbers that are not
 * reached without alternative routing ids (`EIO` of `pci_setup_device()`, as
 * their registers read as ones).
 *
 * @param fn The physical function.
 * @param count How many there would be.
 * @returns `undefined` where each is reached.
 */
export function explainUnreachable(
  fn: PciFunction,
  count: number,
): Unreachable | undefined {
  const { kernel } = fn.host;
  const bridge = dirname(fn.path);
  const text = ifPresent(() =>
    kernel.readFile(`${bridge}/subordinate_bus_number`)
  );
  // Sysfs does not say which buses a root bus leads to.
  const end = text === undefined ? LAST_BUS : Number(text);
  const behindPort = text !== undefined;
  const ids = routingIds(fn, count) ?? [];
  const { bus, slot } = parsePciAddress(fn.address);
  const hasAri = numberAt(fn, "ari_enabled") !== 0;
  const isHidden = (id: number) =>
    behindPort && !hasAri && id >> 8 === bus && (id >> 3 & 0x1f) !== slot;
  const possible = ids.findIndex((id) => id >> 8 > end || isHidden(id));
  if (possible < 0) return undefined;
  const fewer = possible === 0 ? "" : `ask for ${possible} at most, or `;
  if (isHidden(ids[possible]!)) {
    return {
      problem: `its virtual function ${possible} would be device ` +
        `${
          hex(ids[possible]! >> 3 & 0x1f, 2)
        } of its bus, and the port above ` +
        `reaches device ${hex(slot, 2)} only, as ARI is off`,
      hint: fewer +
        (ariOn(kernel) ?? "put the card behind a port that forwards ARI"),
      possible,
    };
  }
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
  return numberAt(fn, "ari_enabled") !== 0
    ? numbering
    : ariOn(fn.host.kernel) ??
      `${numbering}; behind a port that forwards ARI, which some firmware ` +
        "can switch on, they would need fewer buses";
}

/** What switches ARI on again, where it was switched off. */
function ariOn(kernel: Kernel): string | undefined {
  const off = pciOption(kernel, "noari");
  return off && `remove ${off} from the kernel's command line, which keeps ` +
      "virtual functions off the bus of their function";
}

/** The number in an attribute, if the function has it. */
export function numberAt(fn: PciFunction, name: string): number | undefined {
  const text = ifPresent(() => fn.host.kernel.readFile(`${fn.path}/${name}`));
  return text === undefined ? undefined : Number(text);
}
