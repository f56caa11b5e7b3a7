/**
 * Whether functions can be reset between two users, which depends on where they
 * are.
 *
 * @module
 */

import { doWithout, takingOf } from "../../host/pci/group_remedy.ts";
import {
  fragileOnBus,
  functionsOfBus,
} from "../../host/pci/topology/bus_reset.ts";
import { isEndpointClass } from "../../host/pci/endpoint.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { hangsInReset } from "../../host/pci/quirks.ts";
import type { Defect } from "../finding.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

const LEFTOVERS = "its next user finds what the last one left in it";
const TRUST = "or share it only among users that trust each other";

/** Whether the kernel, or VFIO with a bus, can reset the functions. */
export function* reset(examined: Examined): Generator<Finding> {
  const asked = new Set(
    examined.asked ? examined.functions.map(({ address }) => address) : [],
  );
  yield* examined.checkEach(
    "reset",
    "every function can be reset",
    (fn) => defectOf(fn, asked, examined),
  );
}

function defectOf(
  fn: PciFunction,
  asked: ReadonlySet<string>,
  examined: Examined,
): Defect | undefined {
  // Before Linux 5.15 the kernel says whether it can reset, but not how.
  if (fn.resetMethods.length > 0) return;
  const { path } = fn;
  if (examined.has(`${path}/reset`) && !examined.has(`${path}/reset_method`)) {
    return;
  }
  const bus = functionsOfBus(fn);
  const others = (bus ?? []).filter(({ address, class: code }) =>
    address !== fn.address && isEndpointClass(code)
  );
  // `pci_bus_reset()` in `drivers/pci/pci.c`: a root bus has no bridge. Where
  // the function is alone, its bus would be among the kernel's methods.
  if (others.length === 0) {
    return {
      text: `nothing can reset it: ${alone(fn)}${
        whyNot(fn, bus)
      }; ${LEFTOVERS}`,
      remedy:
        "nothing short of switching the machine off and on again resets it: " +
        `do that between two users, ${TRUST}`,
    };
  }
  const missing = others.filter(({ address }) => !asked.has(address));
  if (asked.size > 0 && missing.length === 0) return;
  const { commands, uses } = takingOf([fn, ...missing]);
  return {
    text: `the kernel cannot reset it alone: ${alone(fn)}${LEFTOVERS}`,
    remedy:
      `${commands.length === 0 ? "hand out" : "take"} ${
        list(missing.map(({ address }) => address))
      } too, which ${
        missing.length === 1 ? "is" : "are"
      } on its bus, and VFIO resets them all as one` +
      (commands.length === 0
        ? ""
        : `: ${commands.join("; ")}${doWithout(uses)}`) +
      `; ${TRUST}`,
  };
}

/** Why the kernel does not reset a function that says it can be reset alone. */
function alone(fn: PciFunction): string {
  return hangsInReset(fn)
    ? "a function-level reset would hang it (an erratum); "
    : "";
}

/** Why the kernel does not reset its bus, as a clause. */
function whyNot(
  fn: PciFunction,
  bus: readonly PciFunction[] | undefined,
): string {
  if (bus !== undefined) return "the kernel does not reset its bus either";
  const fragile = fragileOnBus(fn);
  return fragile === undefined
    ? "it is on a root bus"
    : "the kernel does not reset its bus, from which " +
      `${fragile.address} would not come back (an erratum)`;
}

function list(addresses: readonly string[]): string {
  return addresses.length === 1
    ? addresses[0]!
    : `${addresses.slice(0, -1).join(", ")} and ${addresses.at(-1)}`;
}
