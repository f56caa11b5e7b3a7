import {
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_FLAGS,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSIX_FLAGS,
  PCI_MSIX_TABLE,
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

/**
 * Writes the chain of a function's capabilities into its config space.
 *
 * @param view The config space.
 * @param fn Whether it is PCI Express, and has a function level reset.
 * @param model Its interrupts.
 */
export function putCapabilities(
  view: DataView,
  fn: { readonly express: boolean; readonly resets: boolean },
  model: DeviceModel,
): void {
  const chain = [
    ...fn.express ? [express(fn.resets)] : [],
    ...model.msi > 0 ? [msi(model.msi)] : [],
    ...model.msix > 0 ? [msix(model)] : [],
  ];
  if (chain.length === 0) return;
  view.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
  let link = PCI_CAPABILITY_LIST;
  let at = FIRST;
  for (const { id, length, words } of chain) {
    view.setUint8(link, at);
    view.setUint8(at, id);
    for (const [offset, word] of Object.entries(words)) {
      view.setUint16(at + Number(offset), word & 0xffff, true);
    }
    link = at + 1;
    at += Math.ceil(length / 4) * 4;
  }
}

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
