/**
 * Every kind of step.
 *
 * @module
 */

import type { Step } from "./step.ts";
import { attributeKind } from "./kinds/attribute.ts";
import { configurationKind } from "./kinds/configuration.ts";
import { driverKind } from "./kinds/driver.ts";
import { fileKind } from "./kinds/file.ts";
import { handoffKind } from "./kinds/handoff.ts";
import type { StepKind } from "./kind.ts";
import { mediatedKind } from "./kinds/mediated.ts";
import { moduleKind } from "./kinds/module.ts";
import { nodeKind } from "./kinds/node.ts";
import { romKind } from "./kinds/rom.ts";
import { virtualNetworkKind } from "./kinds/vf_network.ts";
import { virtualFunctionsKind } from "./kinds/virtual_functions.ts";

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
