/**
 * The host of commands that change functions.
 */
import type { Host } from "../../../lib/host/host.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";

export const A = "0000:01:00.0";
export const B = "0000:02:00.0";
export const PF = "0000:03:00.0";
export const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

export const HOST: Topology = {
  functions: {
    [A]: { id: "8086:10d3", class: 0x020000, driver: "e1000e", group: 1 },
    [B]: { id: "1b36:0010", class: 0x010802, driver: "nvme", group: 2 },
    [PF]: {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
    },
  },
  drivers: {
    e1000e: { ids: ["8086:10d3"] },
    nvme: { ids: ["1b36:0010"] },
    igb: { ids: ["8086:10c9"] },
    igbvf: { ids: ["8086:10ca"] },
  },
  mediatedTypes: {
    "/sys/devices/virtual/mtty/mtty": { "mtty-1": { instances: 2 } },
  },
};

/** The state that `restore` must bring back. */
export async function stateOf(host: Host): Promise<string> {
  return JSON.stringify(await host.snapshot());
}
