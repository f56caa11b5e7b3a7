/**
 * What goes with a device when its driver lets it go.
 *
 * @module
 */

import type { HostDevice } from "../device.ts";
import { isEndpointClass } from "../pci/endpoint.ts";
import { madeBy } from "../pci/made_domain.ts";
import { ifPresent, linkName } from "../sysfs.ts";
import type { Finding } from "./use.ts";

const DEVICES = "/sys/bus/pci/devices";

/**
 * The functions that vanish with a function's driver, since that makes the
 * domain that they are in: the drives behind Intel's VMD.
 *
 * @param device The function.
 */
export function madeUses(device: HostDevice): Finding[] {
  const { kernel } = device.host;
  return madeBy(device).flatMap((address) => {
    const code = ifPresent(() =>
      kernel.readFile(`${DEVICES}/${address}/class`)
    );
    if (code === undefined || !isEndpointClass(Number(code))) return [];
    const driver = linkName(kernel, `${DEVICES}/${address}/driver`);
    return [{
      kind: "made functions",
      problem: `${address}${driver === undefined ? "" : ` (${driver})`} ` +
        "vanishes with it",
    }];
  });
}
