/**
 * `passthru.vfio.facts`: what a host has, and what stops passthrough there.
 *
 * @module
 */

import { diagnose } from "../../lib/doctor/diagnose.ts";
import { diagnosisJson } from "../../scripts/passthru/commands/doctor.ts";
import {
  functionJson,
  Names,
} from "../../scripts/passthru/output/function_json.ts";
import { untoldOf } from "../../scripts/passthru/run/untold.ts";
import { onHost } from "./host.ts";
import { type Module, runModule } from "./module.ts";

/** The module. */
export const FACTS: Module = {
  parameters: ["simulate"],
  run: (parameters, terminal) =>
    onHost(parameters, terminal, (host) => {
      const names = new Names();
      const { fit, findings } = diagnosisJson(
        diagnose(host, { untold: untoldOf(host) }),
      );
      return Promise.resolve({
        changed: false,
        ansible_facts: {
          passthru: {
            functions: host.functions().map((fn) => functionJson(fn, names)),
            fit,
            findings,
          },
        },
      });
    }),
};

if (import.meta.main) await runModule(FACTS);
