/**
 * Every kind of step.
 *
 * @module
 */

import type { Step } from "./step.ts";
import { attributeKind } from "./attribute.ts";
import { configurationKind } from "./configuration.ts";
import { driverKind } from "./driver.ts";
import { fileKind } from "./file.ts";
import { handoffKind } from "./handoff.ts";
import type { StepKind } from "./kind.ts";
import { mediatedKind } from "./mediated.ts";
import { moduleKind } from "./module.ts";
import { nodeKind } from "./node.ts";
import { romKind } from "./rom.ts";
import { virtualNetworkKind } from "./vf_network.ts";
import { virtualFunctionsKind } from "./virtual_functions.ts";

const KINDS: Readonly<Record<Step["kind"], StepKind>> = {
  "attribute": attributeKind,
  "configuration": configurationKind,
  "driver": driverKind,
  "file": fileKind,
  "handoff": handoffKind,
  "link": fileKind,
  "mediated device": mediatedKind,
  "module": moduleKind,
  "node": nodeKind,
  "rom": romKind,
  "vf network": virtualNetworkKind,
  "virtual functions": virtualFunctionsKind,
};

/** Returns how a step is made and undone. */
export function kindOf({ kind }: Step): StepKind {
  return KINDS[kind];
}
