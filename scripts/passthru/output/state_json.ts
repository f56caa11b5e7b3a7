/**
 * Steps, in JSON.
 *
 * @module
 */

import type { Step } from "../../../lib/provision/steps/step.ts";
import type { LeftStep } from "../../../lib/provision/journal/undo.ts";
import { explain } from "../failure.ts";

/** A step in JSON. Its device is `null` where it is about none. */
export function stepJson(step: Step): Record<string, unknown> {
  return { ...step, device: step.device ?? null };
}

/** An error in JSON. */
export interface ErrorJson {
  /** A `VfioErrorCode`, or `USAGE`, `INTERRUPTED`, `KERNEL`, `INTERNAL`. */
  readonly code: string;
  /** The device that it is about. */
  readonly device: string | null;
  /** What was wrong. */
  readonly message: string;
  /** What to do. */
  readonly hint: string | null;
}

/** Describes an error in JSON. */
export function errorJson(error: unknown): ErrorJson {
  const { code, device, message, hint } = explain(
    error,
    new AbortController().signal,
  );
  return { code, device: device ?? null, message, hint: hint ?? null };
}

/** A step that could not be undone, in JSON. */
export function leftJson({ step, error }: LeftStep): Record<string, unknown> {
  return { step: stepJson(step), error: errorJson(error) };
}
