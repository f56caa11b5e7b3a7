/** A network card that virtual functions are planned for. */
import type { VirtualFunctionsState } from "../../../lib/provision/state/state.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import type { SriovRecording } from "../../../lib/host/snapshot/recording.ts";

export const PF = "0000:01:00.0";
export const AUTOPROBE = `${PF}: sriov_drivers_autoprobe = 0`;

/** A network card whose virtual functions igbvf takes automatically. */
export function nic(
  sriov: Partial<SriovRecording> = {},
  more: Partial<FunctionTopology> = {},
): Topology {
  return {
    functions: {
      [PF]: {
        id: "8086:10c9",
        class: 0x020000,
        driver: "igb",
        behind: "0000:00:01.0",
        sriov: { total: 7, id: "8086:10ca", driver: "igbvf", ...sriov },
        ...more,
      },
    },
  };
}

export const vfs = (
  virtualFunctions: VirtualFunctionsState,
  more: { driver?: string | null } = {},
) => ({ functions: [{ select: PF, virtualFunctions, ...more }] });
