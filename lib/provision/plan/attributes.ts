/**
 * Planning a function's attributes: how it is reset, how it sleeps.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { ifPresent } from "../../host/sysfs.ts";
import type { AttributeStep } from "../steps/step.ts";
import { directoryOf, reasonFor, type Target } from "./target.ts";

/**
 * The changes of how functions are reset.
 *
 * @param targets What should be.
 * @throws {VfioError} `NOT_SUPPORTED` when one cannot be reset like that.
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
          (now!.length === 0 ? "nor otherwise" : `but by ${now!.join(", ")}`),
        hint: "where that was changed before, this brings all methods back: " +
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
 * The changes of how functions sleep, for after their drivers have changed.
 *
 * @param targets What should be.
 * @throws {VfioError} `NOT_SUPPORTED` when one cannot sleep, or not lose its
 * power.
 */
export function powerSteps(targets: readonly Target[]): AttributeStep[] {
  return targets.flatMap((target) => {
    const { idleD3 } = target.state;
    if (idleD3 === undefined) return [];
    const steps: AttributeStep[] = [];
    // Before it may sleep at all.
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
    // The VFIO drivers write it as they come, and as they go.
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

/** Whether its driver changes, or it is yet to be made. */
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
      ? "the kernel has no such switch for it"
      : "a virtual function has the power of its physical function",
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
