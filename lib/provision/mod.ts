/**
 * Brings a host to a desired state: plans the steps, makes all of them or none,
 * writes each to a journal first, and undoes them in any process and after any
 * crash.
 *
 * @example Plan the steps to a desired state
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { plan } from "@passthru/vfio/provision";
 *
 * const state = {
 *   functions: [{ select: "0000:01:00.0", driver: "vfio-pci" }],
 * };
 * console.log(`${plan(new Host(), state)}`);
 * ```
 *
 * @module
 */

export { apply, type ApplyOptions, rehearse } from "./apply.ts";
export {
  persist,
  type Persisted,
  persisted,
  type PersistOptions,
  unpersist,
} from "./boot/persist.ts";
export { forget } from "./forget.ts";
export type { Imported } from "./import/found.ts";
export {
  IMPORT_SOURCES,
  type ImportSource,
  importState,
} from "./import/import.ts";
export {
  type ChangeEntry,
  type ChangeEvent,
  changes,
} from "./journal/change_log.ts";
export type { LeftStep } from "./journal/undo.ts";
export {
  Applied,
  applySteps,
  type ApplyStepsOptions,
  type StepEvent,
} from "./make.ts";
export { Plan, plan, type PlanJson } from "./plan/plan.ts";
export { stepSubject, stepText } from "./plan/text.ts";
export {
  type DamagedJournal,
  damagedJournals,
  restore,
  type Restored,
  type RestoreOptions,
} from "./restore.ts";
export { parseState, stateSchema } from "./state/parse.ts";
export { pinOf } from "./state/pin.ts";
export type { Schema } from "../rule.ts";
export type * from "./state/state.ts";
export { watch, type WatchEvent, type WatchOptions } from "./watch/watch.ts";
export { type AppliedStatus, status, type StepStatus } from "./status.ts";
export type * from "./steps/step.ts";
