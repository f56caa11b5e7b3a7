/**
 * A host that records how functions are taken and given back.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import type { Host } from "../../../lib/host/host.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { WatchedHost } from "../watched_host.ts";

export const A = "0000:00:03.0";
export const PATH = `/sys/devices/pci0000:00/${A}`;
export const DRIVERS = "/sys/bus/pci/drivers";

const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };

/** A host on which e1000e has a function, and vfio-pci is loaded. */
export function setUp(
  what: FunctionTopology = {},
  more: Topology = {},
): { watched: WatchedHost; host: Host } {
  const functions = {
    [A]: { ...NIC, group: 4, driver: "e1000e", ...what },
    ...more.functions,
  };
  const drivers = { e1000e: { ids: ["8086:10d3"] }, ...more.drivers };
  const watched = new WatchedHost({ ...more, functions, drivers });
  return { watched, host: watched.host };
}

/** Asserts that a call is rejected with an error about the function. */
export async function failure(work: Promise<unknown>): Promise<VfioError> {
  const error = await assertRejects(() => work, VfioError);
  assertEquals(error.device, A);
  return error;
}
