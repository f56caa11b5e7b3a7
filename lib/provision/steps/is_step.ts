/**
 * Recognizes steps that were read from a file.
 *
 * @module
 */

import { isDriverStep } from "../../host/driver/step.ts";
import type { Step } from "./step.ts";

/** The properties that are texts in every step of a kind. */
const TEXTS: Readonly<Record<Step["kind"], readonly string[]>> = {
  "attribute": ["path", "value"],
  "configuration": ["path"],
  "driver": ["device"],
  "file": ["path"],
  "handoff": ["path", "format"],
  "link": ["path", "target"],
  "mediated device": ["device", "parent", "type"],
  "module": ["name"],
  "node": ["device"],
  "rom": ["device", "path"],
  "vf network": ["device", "physical"],
  "virtual functions": ["device"],
};

/** Whether a value is a step of a known kind that can be undone. */
export function isStep(value: unknown): value is Step {
  if (typeof value !== "object" || value === null) return false;
  const { kind, device = "", devices = [] } = value as Record<
    string,
    unknown
  >;
  if (typeof kind !== "string" || !Object.hasOwn(TEXTS, kind)) return false;
  if (kind === "driver") return isDriverStep(value);
  if (kind === "handoff" && !Object.hasOwn(value, "devices")) return false;
  if (kind === "configuration" && !isConfiguration(value)) return false;
  return typeof device === "string" && isList(devices) &&
    TEXTS[kind as Step["kind"]].every((key) =>
      typeof (value as Record<string, unknown>)[key] === "string"
    );
}

/** Whether the files and programs of a configuration can be used. */
function isConfiguration(value: object): boolean {
  const { files, commands, settings } = value as Record<string, unknown>;
  return Array.isArray(files) &&
    files.every((file) =>
      typeof file?.path === "string" && typeof file.text === "string"
    ) && Array.isArray(commands) && commands.every(isList) && isList(settings);
}

/** Whether a value is a list of texts. */
function isList(value: unknown): boolean {
  return Array.isArray(value) &&
    value.every((each) => typeof each === "string");
}
