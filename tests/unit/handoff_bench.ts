/** A machine whose devices are handed over. */
import type { VfioErrorCode } from "../../lib/errors.ts";
import {
  emit,
  type HandoffFormat,
  type HandoffOptions,
} from "../../lib/handoff/mod.ts";
import type { Host } from "../../lib/host/host.ts";
import { simulate } from "../../lib/sim/mod.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";
import { failure } from "../failures.ts";

export const GPU = "0000:00:02.0";
export const A = "0000:01:00.0";
export const B = "0000:02:00.0";
export const NIC = "0000:03:10.1";
export const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
export const MEDIATED = `/sys/bus/mdev/devices/${UUID}`;

export const CARD = { id: "10de:1eb8", class: 0x030200, driver: "vfio-pci" };
export const MACHINE: Topology = {
  functions: {
    [GPU]: { id: "8086:5912", class: 0x030000, driver: "i915", group: 1 },
    [A]: { ...CARD, group: 12, numaNode: 1 },
    [NIC]: { id: "8086:10ca", class: 0x020000, driver: "vfio-pci", group: 14 },
  },
  mediatedTypes: { [GPU]: { "i915-GVTg_V5_4": { instances: 2 } } },
  mediated: { [UUID]: { parent: GPU, type: "i915-GVTg_V5_4" } },
  files: { "/proc/sys/kernel/hostname": "Node-A\n" },
};

/** A machine with other functions. */
export function withFunctions(functions: Topology["functions"]): Host {
  return simulate({
    ...MACHINE,
    functions: { ...MACHINE.functions, ...functions },
  });
}

/** What is written for devices. */
export function text(
  format: HandoffFormat,
  devices: readonly string[],
  options: HandoffOptions = {},
  host: Host = simulate(MACHINE),
): string {
  return emit(format, devices.map((name) => host.find(name)), options).text;
}

/** The message of the error with which devices are refused. */
export function refused(
  code: VfioErrorCode,
  format: HandoffFormat,
  devices: readonly string[],
  options: HandoffOptions = {},
  host: Host = simulate(MACHINE),
): string {
  return failure(code, () => text(format, devices, options, host)).message;
}
