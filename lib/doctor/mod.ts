/**
 * Finds what stops passthrough on a host, and what to change.
 *
 * @example Ask whether a host is fit
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { diagnose, diagnosisText } from "@passthru/vfio/doctor";
 *
 * const diagnosis = diagnose(new Host());
 * console.log(diagnosis.fit, diagnosisText(diagnosis));
 * ```
 *
 * @module
 */

export { diagnose, type DiagnoseOptions } from "./diagnose.ts";
export type {
  CheckName,
  Diagnosis,
  Finding,
  Untold,
  Verdict,
} from "./finding.ts";
export { diagnosisText } from "./text.ts";
