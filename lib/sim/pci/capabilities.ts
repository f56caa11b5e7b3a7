import {
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_FLAGS,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAPABILITY_LIST,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSIX_FLAGS,
  PCI_MSIX_TABLE,
  PCI_PM_PMC,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from "../../uapi/pci/regs.ts";
import { type DeviceModel, msixBar } from "../models/model.ts";

/** The offset of the first capability. */
const FIRST = 0x40;

/** A capability: its id, its length in bytes, and its words by offset. */
interface Capability {
  readonly id: number;
  readonly length: number;
  readonly words: Readonly<Record<number, number>>;
}

/** The version of the PCI Express capability. */
const EXPRESS_VERSION = 2;

/** The version of the power management capability. */
const POWER_VERSION = 3;

/** What a function's capabilities say, besides its interrupts. */
export interface CapabilityTraits {
  /** Whether it is PCI Express. */
  readonly express: boolean;
  /** Whether it has a function level reset. */
  readonly flr: boolean;
  /** Whether its power state can be set. */
  readonly pm: boolean;
}

/**
 * Writes the chain of a function's capabilities into its config space.
 *
 * @param view The config space.
 * @param fn What they say.
 * @param model Its interrupts.
 * @returns Where each begins, by its id.
 */
export function putCapabilities(
  view: DataView,
  fn: CapabilityTraits,
  model: DeviceModel,
): ReadonlyMap<number, number> {
  const chain = [
    ...fn.express ? [express(fn.flr)] : [],
    ...model.msi > 0 ? [msi(model.msi)] : [],
    ...model.msix > 0 ? [msix(model)] : [],
    ...fn.pm ? [POWER] : [],
  ];
  const places = new Map<number, number>();
  if (chain.length === 0) return places;
  view.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
  let link = PCI_CAPABILITY_LIST;
  let at = FIRST;
  for (const { id, length, words } of chain) {
    view.setUint8(link, at);
    view.setUint8(at, id);
    places.set(id, at);
    for (const [offset, word] of Object.entries(words)) {
      view.setUint16(at + Number(offset), word & 0xffff, true);
    }
    link = at + 1;
    at += Math.ceil(length / 4) * 4;
  }
  return places;
}

/** It loses its state in D3hot. */
const POWER: Capability = {
  id: PCI_CAP_ID_PM,
  length: 8,
  words: { [PCI_PM_PMC]: POWER_VERSION },
};

function express(resets: boolean): Capability {
  return {
    id: PCI_CAP_ID_EXP,
    length: 0x3c,
    words: {
      [PCI_EXP_FLAGS]: EXPRESS_VERSION,
      [PCI_EXP_DEVCAP + 2]: resets ? PCI_EXP_DEVCAP_FLR >>> 16 : 0,
    },
  };
}

function msi(vectors: number): Capability {
  const flags = PCI_MSI_FLAGS_64BIT | Math.log2(vectors) << 1;
  return { id: PCI_CAP_ID_MSI, length: 14, words: { [PCI_MSI_FLAGS]: flags } };
}

function msix(model: DeviceModel): Capability {
  return {
    id: PCI_CAP_ID_MSIX,
    length: 12,
    words: {
      [PCI_MSIX_FLAGS]: model.msix - 1,
      [PCI_MSIX_TABLE]: msixBar(model) ?? 0,
    },
  };
}
