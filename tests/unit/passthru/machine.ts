import { simulate } from "../../../lib/sim/mod.ts";
import { type PciTree, pciTree } from "../../../lib/host/pci/topology/tree.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

/** A network card. */
export const NIC: FunctionTopology = { id: "8086:10c9", class: 0x020000 };
/** A bridge. */
export const BRIDGE: FunctionTopology = { id: "8086:a110", class: 0x060400 };
const NASTY = `82576 <b>"fast"</b> & 'sound' \u0007`;

/**
 * A port with a card of two functions, one of them with virtual functions, and
 * a function without a port.
 */
export const MACHINE: Topology = {
  functions: {
    "0000:00:01.0": BRIDGE,
    "0000:00:1f.0": { ...NIC, group: null },
    "0000:01:00.0": {
      ...NIC,
      behind: "0000:00:01.0",
      driver: "igb",
      sriov: { total: 7, enabled: 3, id: "8086:10ca", driver: "igbvf" },
    },
    "0000:01:10.2": { driver: "vfio-pci" },
    "0000:02:00.0": { ...NIC, behind: "0000:00:01.0", driver: "e1000e" },
    "0000:02:00.1": { ...NIC, behind: "0000:00:01.0", driver: "vfio-pci" },
    "0000:80:01.0": { ...NIC, numaNode: 1, driver: "vfio-pci" },
  },
  files: {
    "/usr/share/misc/pci.ids": "8086  Intel Corporation\n" +
      `\t10c9  ${NASTY}\nC 02  Network controller\n` +
      "\t00  Ethernet controller\n",
  },
};

/** The topology of a machine. */
export function treeOf(topology: Topology): PciTree {
  return pciTree(simulate(topology));
}

/** Functions that pci.ids does not have. */
export const UNNAMED: Topology = {
  functions: {
    "0000:01:00.0": {
      id: "8086:fff4",
      class: 0x010802,
      driver: "a_driver_with_a_long_name",
    },
    "0000:02:00.0": {
      id: "1234:fff5",
      class: 0x010802,
      driver: "a_driver_with_a_long_name",
    },
  },
  files: {
    "/usr/share/misc/pci.ids": "8086  A Corporation With A Very Long Name\n",
  },
};
