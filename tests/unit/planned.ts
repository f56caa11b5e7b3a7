/**
 * Makes plans in tests.
 */
import { simulate } from "../../lib/sim/mod.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { VfioError, type VfioErrorCode } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { apply } from "../../lib/provision/apply.ts";
import { plan } from "../../lib/provision/plan/plan.ts";
import { stepSubject, stepText } from "../../lib/provision/plan/text.ts";
import type { DesiredState } from "../../lib/provision/state/state.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";

/** The steps of a plan, each as "subject: text". */
export function planned(
  host: Host | Topology,
  state: DesiredState,
): string[] {
  const { steps } = plan(hostOf(host), state);
  return steps.map((step) => `${stepSubject(step)}: ${stepText(step)}`);
}

/** Asserts that a plan is refused, and returns the error. */
export function refused(
  code: VfioErrorCode,
  host: Host | Topology,
  state: DesiredState,
): VfioError {
  const error = assertThrows(() => plan(hostOf(host), state), VfioError);
  assertEquals(error.code, code, error.message);
  return error;
}

/** Asserts that a state contradicts itself, and returns the message. */
export function contradicted(
  host: Host | Topology,
  state: DesiredState,
): string {
  return assertThrows(() => plan(hostOf(host), state), TypeError).message;
}

/**
 * Applies a state, asserts that nothing is left to do, and returns the host.
 */
export async function settled(
  host: Host | Topology,
  state: DesiredState,
): Promise<Host> {
  const target = hostOf(host);
  await apply(target, state);
  assertEquals(planned(target, state), []);
  return target;
}

function hostOf(host: Host | Topology): Host {
  return host instanceof Host ? host : simulate(host);
}
