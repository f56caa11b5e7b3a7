/**
 * The host as sysfs describes it.
 *
 * @module
 */

import type { Recording } from "./snapshot/recording.ts";
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
   * @returns What `simulate()` takes, now or read from JSON.
   *
   * @example
   * ```ts
   * import { Host } from "@passthru/vfio";
   * import { simulate } from "@passthru/vfio/sim";
   *
   * const recording = JSON.stringify(new Host().snapshot());
   * const host = simulate(JSON.parse(recording));
   * console.log(host.functions().length === new Host().functions().length);
   * ```
   */
  snapshot(): Recording {
    return record(this.kernel, this.functions());
  }
}
