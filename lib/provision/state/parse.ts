/**
 * Checks what users write as a desired state.
 *
 * @module
 */

import type { Schema } from "../../rule.ts";
import type { DesiredState } from "./state.ts";
import { STATE } from "./rules.ts";

/**
 * Checks that a value, as read from JSON or YAML, is a desired state.
 * {@linkcode plan} checks whether a host can reach it.
 *
 * @param value The value.
 * @returns The same value.
 * @throws {TypeError} When it is no desired state. The message says where, what
 * was expected, and what is there. An unknown key is an error too.
 *
 * @example
 * ```ts
 * import { parseState } from "@passthru/vfio/provision";
 *
 * try {
 *   parseState(JSON.parse('{ "functions": [{ "drivr": "vfio-pci" }] }'));
 * } catch (error) {
 *   // functions[0].drivr: there is no such key; did you mean "driver"?
 *   console.log((error as TypeError).message);
 * }
 * ```
 */
export function parseState(value: unknown): DesiredState {
  const rule: typeof STATE = STATE;
  rule.check(value, "");
  return value;
}

/**
 * Returns the JSON schema of a desired state, draft 2020-12, as it is in
 * `lib/provision/state/schema.json`. It accepts exactly what
 * {@linkcode parseState} accepts, and one MAC address for two virtual functions,
 * which no schema can forbid.
 *
 * @example Check a state with any validator, or in an editor
 * ```ts
 * import { stateSchema } from "@passthru/vfio/provision";
 *
 * console.log(JSON.stringify(stateSchema(), null, 2));
 * ```
 */
export function stateSchema(): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: "urn:passthru:vfio:desired-state:1",
    ...STATE.schema,
  };
}
