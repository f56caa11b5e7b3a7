/**
 * What goes with a device when its driver lets it go.
 *
 * @module
 */

import { isVfioDriver } from "../driver/vfio_driver.ts";
import { DriverNodes } from "../driver/nodes.ts";
import type { HostDevice } from "../device.ts";
import { isEndpointClass } from "../pci/endpoint.ts";
import { madeBy } from "../pci/topology/made_domain.ts";
import { ifPresent, linkName } from "../sysfs.ts";
import type { Finding } from "./use.ts";

/** Finds what goes with devices, of which it reads all once. */
export class Going {
  #nodes: DriverNodes | undefined;

  /**
   * The network interfaces and disks that go with a device.
   *
   * @param device The device.
   * @returns Their names: `"enp1s0"`, `"/dev/nvme0n1"`.
   */
  with({ driver, host, path }: HostDevice): string[] {
    if (driver === undefined || isVfioDriver(driver)) return [];
    return (this.#nodes ??= new DriverNodes(host.kernel)).below(path)
      .filter(({ kind }) => kind === "network" || kind === "disk")
      .map(({ name }) => name);
  }
}

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
