/**
 * Whether there is anything to hand out.
 *
 * @module
 */

import type { Examined } from "./examined.ts";
import type { Finding } from "./finding.ts";

/**
 * Whether a host has a function that can be handed out, when the whole host is
 * examined. It comes after the other checks, which say what stops each.
 */
export function* usable(examined: Examined): Generator<Finding> {
  if (examined.asked) return;
  const check = "functions";
  const { functions, stopped } = examined;
  const left = functions.filter(({ address }) => !stopped.has(address));
  if (left.length > 0) return;
  yield {
    check,
    verdict: "fail",
    text: functions.length === 0
      ? "there is no PCI function that could be handed out"
      : "none of the PCI functions can be handed out",
    ...functions.length > 0 && {
      remedy: "each has its reason above",
    },
  };
}
