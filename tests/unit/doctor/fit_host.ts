/**
 * A host that is fit for passthrough, except for a test's defects.
 */
import {
  diagnose,
  type DiagnoseOptions,
} from "../../../lib/doctor/diagnose.ts";
import type {
  CheckName,
  Diagnosis,
  Finding,
} from "../../../lib/doctor/finding.ts";
import type { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import type { ProcessOptions } from "../../../lib/sim/process/calls/process.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

export const A = "0000:01:00.0";
export const B = "0000:01:00.1";
export const PORT = "0000:00:1c.0";
export const ONBOARD: FunctionTopology = { id: "8086:15b7", class: 0x020000 };
export const NIC: FunctionTopology = {
  id: "8086:10d3",
  class: 0x020000,
  behind: PORT,
};
export const RELEASE = "6.12.3";
export const MODULES = `/lib/modules/${RELEASE}`;

/** The defects of an otherwise fit host. */
export interface Defects extends Topology {
  /** The defects of the function to diagnose. */
  readonly fn?: FunctionTopology;
  /** The process that runs the doctor. */
  readonly process?: ProcessOptions;
  /** Whether the whole host is diagnosed. */
  readonly wholeHost?: boolean;
  /** Other options. */
  readonly options?: DiagnoseOptions;
}

/** Makes the host, as the process sees it. */
export function hostWith(defects: Defects = {}): Host {
  const { fn, process, wholeHost: _whole, options: _options, ...topology } =
    defects;
  const { machine } = simulate({
    kernel: { release: RELEASE },
    ...topology,
    functions: {
      [A]: { ...NIC, driver: "e1000e", group: 7, ...fn },
      ...topology.functions,
    },
  });
  return new SimulatedHost(machine, process);
}

/** Diagnoses such a host. */
export function diagnosisOf(defects: Defects = {}): Diagnosis {
  const { wholeHost = false, options = {} } = defects;
  const host = hostWith(defects);
  const functions = wholeHost ? [] : [host.function(A)];
  return diagnose(host, { functions, ...options });
}

/** The findings of one check. */
export function found(check: CheckName, defects: Defects): Finding[] {
  return diagnosisOf(defects).findings.filter((each) => each.check === check);
}
