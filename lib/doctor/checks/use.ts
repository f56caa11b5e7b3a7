/**
 * Whether the host uses what would be taken.
 *
 * @module
 */

import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { Going } from "../../host/guards/consequences.ts";
import { HostUse } from "../../host/guards/uses.ts";
import { isEndpointClass } from "../../host/pci/endpoint.ts";
import { isEndpoint, type PciFunction } from "../../host/pci/function.ts";
import { takingOf } from "../../host/pci/group_remedy.ts";
import { counted } from "../../text.ts";
import { type Examined, UNEXAMINED } from "../examined.ts";
import type { Finding } from "../finding.ts";

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
  const passText = "the host uses none of them" +
    (examined.asked ? goesText(examined.functions) : "");
  yield* examined.checkEach(
    "host-use",
    passText,
    (fn) => {
      if (!isEndpointClass(fn.class)) return UNEXAMINED;
      const own = usesOf(fn);
      const virtual = examined.asked ? virtualOf(fn) : [];
      const others = !examined.asked ? [] : membersBeside(fn, asked)
        .flatMap((member) => {
          const uses = usesOf(member);
          return uses.length === 0 ? [] : [{ member, uses }];
        });
      if (own.length + others.length + virtual.length === 0) return;
      const { commands } = takingOf([fn]);
      return {
        text: [
          ...own.length > 0 ? [`the host uses it: ${own.join("; ")}`] : [],
          ...virtual.length > 0
            ? [
              `${counted(virtual.length, "virtual function")} would go with ` +
              "its driver",
            ]
            : [],
          ...others.map(({ member, uses }) =>
            `with it goes ${member.address}, which the host uses: ` +
            uses.join("; ")
          ),
        ].join("; "),
        remedy: commands.length === 0
          ? "end that use"
          : own.length + others.length > 0
          ? "end that use; or, if the host can do without it: " +
            commands.join("; ")
          : `hand those out; or, without them: ${commands.join("; ")}`,
        stops: examined.asked,
      };
    },
  );
}

/** The virtual functions that a host's driver would remove. */
function virtualOf(
  { driver, virtualFunctions }: PciFunction,
): readonly PciFunction[] {
  return isVfioDriver(driver ?? "") ? [] : virtualFunctions;
}

/** The network interfaces and disks that go with functions, as a clause. */
function goesText(functions: readonly PciFunction[]): string {
  const going = new Going();
  const names = functions.flatMap((fn) => going.with(fn));
  return names.length === 0
    ? ""
    : `; with ${functions.length === 1 ? "it" : "them"} ${
      names.length === 1 ? "goes" : "go"
    } ${names.join(", ")}`;
}

/** The endpoints that share a function's group, without those asked for. */
function membersBeside(
  fn: PciFunction,
  asked: ReadonlySet<string>,
): PciFunction[] {
  return (fn.iommuGroup?.devices ?? []).filter(isEndpoint)
    .filter(({ address }) => !asked.has(address));
}
