/**
 * The host as sysfs describes it.
 *
 * @module
 */

import { simulate } from "../sim/machine/build.ts";
import type { SimulatedMachine } from "../sim/machine/control.ts";
import type { ProcessOptions } from "../sim/process/kernel.ts";
import type { Topology } from "../sim/machine/topology.ts";
import type { HostDevice } from "./device.ts";
import { Inventory } from "./inventory.ts";
import { PciFunction } from "./pci/function.ts";
import { record } from "./snapshot/snapshot.ts";
import { take, type TakenFunction, type TakeOptions } from "./driver/take.ts";

export type { HostOptions } from "./inventory.ts";

/**
 * A host: its devices, their drivers and IOMMU groups. It reads sysfs when it
 * is asked, keeps nothing, and needs no privilege but for changing something.
 *
 * @example List what is there
 * ```ts
 * import { Host } from "@passthru/vfio";
 *
 * for (const fn of new Host().functions()) {
 *   console.log(fn.address, fn.driver, fn.iommuGroup?.id);
 * }
 * ```
 */
export class Host extends Inventory {
  /**
   * A host that exists in memory only, and behaves as the kernel does: scripts
   * and tests run on it in a sandbox, without a permission.
   *
   * @param topology What it is made of: a few lines, or what
   * {@linkcode Host.snapshot} recorded.
   * @throws {TypeError} When there can be no such machine.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   *
   * const host = Host.simulated({
   *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
   * });
   * await using taken = await host.take("0000:01:00.0");
   * console.log(taken.function.driver); // vfio-pci
   * ```
   */
  static simulated(topology?: Topology): SimulatedHost {
    return new SimulatedHost(simulate(topology));
  }

  /**
   * Takes a PCI function from its driver and binds it to a VFIO driver. When it
   * returns, the function is bound and its nodes can be opened; when it fails,
   * the function is with the driver that had it. One that the host lives on is
   * refused unless that is insisted on.
   *
   * @param target What {@linkcode Host.find} takes.
   * @param options The driver, the time limit, a signal, and whether to insist.
   * @returns What gives it back.
   * @throws {TypeError} When it is no PCI function, or the driver's name is
   * none.
   * @throws {VfioError} `DEVICE_NOT_FOUND`, `NO_IOMMU_GROUP`, `DRIVER_FAILED`,
   * `DEVICE_BUSY` when it is bound to a VFIO driver and in use, `HOST_IN_USE`
   * when the host uses it, `PERMISSION_DENIED`, or `TIMED_OUT`.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   *
   * await using taken = await new Host().take("0000:01:00.0");
   * console.log(`${taken.function.address} was with ${taken.previousDriver}`);
   * // It goes back at the end of the block.
   * ```
   */
  async take(
    target: string | HostDevice,
    options: TakeOptions = {},
  ): Promise<TakenFunction> {
    const device = this.find(target);
    if (!(device instanceof PciFunction)) {
      throw new TypeError(
        `Cannot take ${device.name}: it is on the ${device.bus} bus, ` +
          "and only PCI functions are taken from drivers",
      );
    }
    return await take(device, options);
  }

  /**
   * Records this host, to simulate it elsewhere: its functions, groups, drivers
   * and what its kernel can do. As root it tells also how many interrupts each
   * function has. No serial number, MAC address or host name is in it.
   *
   * @returns What {@linkcode Host.simulated} takes, now or read from JSON.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   *
   * const recording = JSON.stringify(new Host().snapshot());
   * const host = Host.simulated(JSON.parse(recording));
   * console.log(host.functions().length === new Host().functions().length);
   * ```
   */
  snapshot(): Topology {
    return record(this.kernel, this.functions());
  }
}

/**
 * A simulated machine as one of its processes sees it.
 *
 * @example Another process, which a user without privileges runs
 * ```ts
 * import { Host, SimulatedHost } from "@passthru/vfio";
 *
 * const { machine } = Host.simulated();
 * const other = new SimulatedHost(machine, { name: "qemu", uid: 1000 });
 * console.log(other.functions().length);
 * ```
 */
export class SimulatedHost extends Host {
  /** The machine. */
  readonly machine: SimulatedMachine;

  /**
   * Starts a process on a machine.
   *
   * @param machine The machine.
   * @param process Who the process is.
   */
  constructor(machine: SimulatedMachine, process?: ProcessOptions) {
    super({ kernel: machine.spawn(process) });
    this.machine = machine;
  }
}
