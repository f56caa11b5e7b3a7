/**
 * Plans a function's attributes for reset and sleep.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { ifPresent } from "../../host/sysfs.ts";
import type { AttributeStep } from "../steps/step.ts";
import { directoryOf, reasonFor, type Target } from "./target.ts";

/**
 * Plans the changes of reset methods.
 *
 * @param targets The functions.
 * @throws {VfioError} `NOT_SUPPORTED` when a function does not have such a
 * reset method.
 */
export function resetSteps(targets: readonly Target[]): AttributeStep[] {
  return targets.flatMap((target) => {
    const { fn, address, at, state: { reset } } = target;
    if (reset === undefined) return [];
    const value = reset.join(" ");
    const now = fn?.resetMethods;
    if (now?.join(" ") === value) return [];
    const missing = now && reset.filter((method) => !now.includes(method));
    if (missing !== undefined && missing.length > 0) {
      throw new VfioError("NOT_SUPPORTED", {
        device: address,
        problem: `it cannot be reset by ${missing.join(" and ")} (${at}), ` +
          (now!.length === 0
            ? "nor by another method"
            : `only by ${now!.join(", ")}`),
        hint: "if its methods were changed before, this restores them all: " +
          `echo default > ${directoryOf(address)}/reset_method`,
      });
    }
    const why = now === undefined
      ? "it starts with the kernel's order"
      : `now it is ${now.join(", ")}`;
    return [attribute(target, "reset_method", value, why)];
  });
}

/**
 * Plans the changes of how functions sleep. The steps come after the changes of
 * drivers.
 *
 * @param targets The functions.
 * @throws {VfioError} `NOT_SUPPORTED` when a function cannot sleep, or cannot
 * sleep without power.
 */
export function powerSteps(targets: readonly Target[]): AttributeStep[] {
  return targets.flatMap((target) => {
    const { idleD3 } = target.state;
    if (idleD3 === undefined) return [];
    const steps: AttributeStep[] = [];
    // This step comes before the one that lets it sleep.
    const cold = attributeOf(target, "d3cold_allowed");
    const allowed = idleD3 === "cold" ? "1" : "0";
    if (idleD3 === "cold") assertCold(target, cold);
    if (idleD3 !== false && cold !== undefined && cold !== allowed) {
      steps.push(attribute(
        target,
        "d3cold_allowed",
        allowed,
        idleD3 === "cold" ? "it may lose its power" : "it keeps its power",
      ));
    }
    const control = idleD3 === false ? "on" : "auto";
    const now = attributeOf(target, "power/control");
    if (target.fn !== undefined && now === undefined) {
      throw new VfioError("NOT_SUPPORTED", {
        device: target.address,
        problem: `this kernel lets no device sleep (${target.at})`,
        hint: "leave idleD3 out: it was built without power management",
      });
    }
    // VFIO drivers change it when they bind and when they unbind.
    if (moves(target) || now !== control) {
      steps.push(attribute(
        target,
        "power/control",
        control,
        idleD3 === false ? "it never sleeps" : "it sleeps while unused",
      ));
    }
    return steps;
  });
}

/** Whether its driver changes, or it does not exist yet. */
export function moves({ fn, state: { driver } }: Target): boolean {
  return fn === undefined ||
    driver !== undefined && driver !== (fn.driver ?? null);
}

function assertCold({ fn, address, at }: Target, cold?: string): void {
  if (fn !== undefined && fn.physicalFunction === undefined && cold) return;
  throw new VfioError("NOT_SUPPORTED", {
    device: address,
    problem: `it cannot sleep in D3cold (${at})`,
    hint: cold === undefined
      ? "it has no attribute d3cold_allowed"
      : "a virtual function shares the power of its physical function",
  });
}

function attributeOf({ fn }: Target, name: string): string | undefined {
  if (fn === undefined) return undefined;
  const { kernel } = fn.host;
  return ifPresent(() => kernel.readFile(`${fn.path}/${name}`))?.trim();
}

function attribute(
  target: Target,
  name: string,
  value: string,
  why: string,
): AttributeStep {
  return {
    kind: "attribute",
    device: target.address,
    path: `${directoryOf(target.address)}/${name}`,
    value,
    why: reasonFor(target, why),
  };
}
