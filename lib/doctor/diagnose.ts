/**
 * Finds what stops passthrough on a host, and what to change.
 *
 * @module
 */

import type { PciFunction } from "../host/pci/function.ts";
import type { PciHost } from "../host/pci/topology/tree.ts";
import { memoryLimit, nodes, privilege } from "./checks/access.ts";
import { type Check, Examined } from "./examined.ts";
import type { Diagnosis, Finding, Untold } from "./finding.ts";
import {
  answers,
  bars,
  idleSleep,
  virtualBars,
  virtualBuses,
  virtualGroups,
} from "./checks/functions.ts";
import { boot } from "./checks/boot.ts";
import { accepted } from "./checks/identity.ts";
import { acs } from "./checks/acs.ts";
import { acsOverride, groupViable } from "./checks/groups.ts";
import { interruptRemapping, messageInterrupts } from "./checks/interrupts.ts";
import { directMapping, group, iommu, noIommuMode } from "./checks/iommu.ts";
import { iommuFeatures } from "./checks/iommu_features.ts";
import { knownDevices } from "./checks/known_devices.ts";
import { lockdown, vfioBackend, vfioDriver } from "./checks/modules.ts";
import { claims } from "./checks/claims.ts";
import { reset } from "./checks/reset.ts";
import { hostUse } from "./checks/use.ts";
import { usable } from "./verdict.ts";

/** The checks, in the order of their findings. */
const CHECKS: readonly Check[] = [
  iommu,
  iommuFeatures,
  noIommuMode,
  interruptRemapping,
  messageInterrupts,
  vfioDriver,
  vfioBackend,
  boot,
  lockdown,
  privilege,
  nodes,
  memoryLimit,
  acsOverride,
  group,
  directMapping,
  accepted,
  groupViable,
  acs,
  hostUse,
  // Before the checks that wake functions.
  idleSleep,
  answers,
  bars,
  claims,
  virtualBars,
  virtualBuses,
  virtualGroups,
  reset,
  knownDevices,
  // After all that stop a function.
  usable,
];

/** Options of {@linkcode diagnose}. */
export interface DiagnoseOptions {
  /**
   * The functions that are to be handed out. Default: the whole host. Then no
   * single function makes it unfit.
   */
  readonly functions?: readonly PciFunction[];
  /** Bytes that will be mapped for DMA: a virtual machine's memory. */
  readonly memory?: bigint;
  /**
   * What is not told of the host. The checks that need it give no verdict.
   * Default: everything is told.
   */
  readonly untold?: readonly Untold[];
}

/**
 * Finds what stops passthrough on a host and says what to change. It reads, and
 * changes nothing. Only root can read some of it; a check that cannot read what
 * it needs is left out.
 *
 * @param host The host.
 * @param options The functions that matter, and the memory.
 * @returns The findings. The host is fit when none is a `"fail"`.
 *
 * @example What is wrong, and what to do
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { diagnose } from "@passthru/vfio/doctor";
 *
 * const { fit, findings } = diagnose(new Host());
 * for (const { verdict, text, remedy } of findings) {
 *   if (verdict !== "pass") console.log(verdict, text, remedy);
 * }
 * console.log(fit ? "This host is fit" : "This host is not fit");
 * ```
 *
 * @example Whether a certain function can be handed out
 * ```ts
 * import { diagnose, diagnosisText } from "@passthru/vfio/doctor";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * const functions = [host.function("0000:01:00.0")];
 * console.log(diagnosisText(diagnose(host, { functions })));
 * ```
 */
export function diagnose(
  host: PciHost,
  options: DiagnoseOptions = {},
): Diagnosis {
  const { functions = [], memory, untold = [] } = options;
  const unjudged = new Set(untold.flatMap(({ checks }) => checks));
  const examined = new Examined(host, functions, memory, unjudged);
  const findings = [
    ...CHECKS.flatMap((check) => [...check(examined)])
      .filter(({ check }) => !unjudged.has(check)),
    ...untold.map(({ checks, what, command }): Finding => ({
      check: checks[0]!,
      verdict: "unknown",
      text: `nothing tells ${what}`,
      remedy: `ask for: ${command}`,
    })),
  ];
  return {
    functions: functions.map(({ address }) => address),
    findings,
    fit: findings.every(({ verdict }) => verdict !== "fail"),
  };
}
