/**
 * Whether the host uses what would be taken.
 *
 * @module
 */

import { isVfioDriver } from "../host/driver/vfio_driver.ts";
import { HostUse } from "../host/guards/uses.ts";
import { isEndpointClass } from "../host/pci/endpoint.ts";
import { isEndpoint, type PciFunction } from "../host/pci/function.ts";
import { takingOf } from "../host/pci/group_remedy.ts";
import { type Examined, UNEXAMINED } from "./examined.ts";
import type { Finding } from "./finding.ts";

/**
 * What the host uses the functions for, and those that have to be taken with
 * them: the rest of their groups. Taking them is refused then.
 */
export function* hostUse(examined: Examined): Generator<Finding> {
  const now = new HostUse(examined.kernelHost);
  const asked = new Set(examined.functions.map(({ address }) => address));
  const usesOf = (fn: PciFunction) =>
    isVfioDriver(fn.driver ?? "")
      ? []
      : now.of(fn).map(({ problem }) => problem);
  yield* examined.checkEach(
    "host-use",
    "the host uses none of them",
    (fn) => {
      if (!isEndpointClass(fn.class)) return UNEXAMINED;
      const own = usesOf(fn);
      const others = !examined.asked ? [] : membersBeside(fn, asked)
        .flatMap((member) => {
          const uses = usesOf(member);
          return uses.length === 0 ? [] : [{ member, uses }];
        });
      if (own.length + others.length === 0) return;
      const { commands } = takingOf([fn]);
      return {
        text: [
          ...own.length > 0 ? [`the host uses it: ${own.join("; ")}`] : [],
          ...others.map(({ member, uses }) =>
            `with it goes ${member.address}, which the host uses: ` +
            uses.join("; ")
          ),
        ].join("; "),
        remedy: "end that use" +
          (commands.length === 0
            ? ""
            : `; or, if the host can do without it: ${commands.join("; ")}`),
        stops: examined.asked,
      };
    },
  );
}

/** The endpoints that share a function's group, without those asked for. */
function membersBeside(
  fn: PciFunction,
  asked: ReadonlySet<string>,
): PciFunction[] {
  return (fn.iommuGroup?.devices ?? []).filter(isEndpoint)
    .filter(({ address }) => !asked.has(address));
}
