import {
  PCI_ACS_CAP,
  PCI_ACS_CR,
  PCI_ACS_CTRL,
  PCI_ACS_RR,
  PCI_ACS_SV,
  PCI_ACS_UF,
  PCI_EXP_FLAGS,
  PCI_EXT_CAP_ID_ACS,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
} from "../../uapi/pci/regs.ts";

/** The role of a function on its bus. */
export interface Port {
  /** Whether it is a bridge. */
  readonly isBridge: boolean;
  /** Its type, PCI_EXP_TYPE_*; `undefined` for conventional PCI. */
  readonly type: number | undefined;
  /**
   * Whether it has ACS, which isolates the functions behind it or beside it.
   */
  readonly acs: boolean;
}

const ACS = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF;
const CAP_VERSION = 1;

/**
 * Writes the role of a function on its bus into its config space. The first
 * capability there must be that of PCI Express.
 *
 * @param view The config space.
 * @param port Its role.
 */
export function putPort(view: DataView, { isBridge, type, acs }: Port): void {
  if (isBridge) {
    const header = view.getUint8(PCI_HEADER_TYPE) | PCI_HEADER_TYPE_BRIDGE;
    view.setUint8(PCI_HEADER_TYPE, header);
  }
  if (type === undefined) return;
  const express = view.getUint8(PCI_CAPABILITY_LIST);
  if (view.getUint8(express) === PCI_CAP_ID_EXP) {
    const flags = view.getUint16(express + PCI_EXP_FLAGS, true) | type << 4;
    view.setUint16(express + PCI_EXP_FLAGS, flags, true);
  }
  if (!acs) return;
  const at = PCI_CFG_SPACE_SIZE;
  view.setUint32(at, CAP_VERSION << 16 | PCI_EXT_CAP_ID_ACS, true);
  view.setUint16(at + PCI_ACS_CAP, ACS, true);
  view.setUint16(at + PCI_ACS_CTRL, ACS, true);
}
