/**
 * Plans the modules that are loaded.
 *
 * @module
 */

import type { Host } from "../../host/host.ts";
import { assertLoadable, hasModule } from "../steps/kinds/module.ts";
import type { ModuleStep } from "../steps/step.ts";

/**
 * Plans the modules to load.
 *
 * @param host The host.
 * @param modules The modules of the state.
 * @throws {VfioError} `NOT_SUPPORTED` when this kernel has no such module, or
 * the host has no modprobe.
 */
export function moduleSteps(
  { kernel }: Host,
  modules: readonly string[],
): ModuleStep[] {
  return modules.flatMap((name, i) => {
    if (hasModule(kernel, name)) return [];
    assertLoadable(kernel, name, `modules[${i}]`);
    return [{ kind: "module", name, why: "it is not loaded" }];
  });
}
