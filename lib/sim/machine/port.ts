import {
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_PCI_BRIDGE,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_UPSTREAM,
} from "../../uapi/pci/express_regs.ts";
import type { Port } from "../pci/express_port.ts";
import type { Placed } from "./grouping.ts";

/**
 * Returns the port type. Bridges below a bridge form a switch: first the
 * upstream port, then the downstream ports.
 */
export function portOf(
  { topology: { acs, sriov }, bridges, isBridge, toConventional }: Placed,
  conventional: boolean,
): Port {
  return {
    isBridge,
    type: conventional
      ? undefined
      : !isBridge
      ? PCI_EXP_TYPE_ENDPOINT
      : toConventional
      ? PCI_EXP_TYPE_PCI_BRIDGE
      : bridges.length === 0
      ? PCI_EXP_TYPE_ROOT_PORT
      : bridges.length % 2 === 1
      ? PCI_EXP_TYPE_UPSTREAM
      : PCI_EXP_TYPE_DOWNSTREAM,
    acs: acs ?? (isBridge && !toConventional || sriov !== undefined),
  };
}
