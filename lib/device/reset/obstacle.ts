import { registered } from "../../dma/registry.ts";
import { isBridgeClass, isVfioDriver } from "../../host/driver/vfio_driver.ts";
import type { PciFunction } from "../../host/pci/function.ts";

/** What keeps a hot reset from being done. */
export interface HotResetObstacle {
  /** What it is, as a clause: "it is bound to nvme". */
  readonly problem: string;
  /** What to do about it. */
  readonly remedy: string;
}

/**
 * What keeps a function from being reset with others: each has to be bound to a
 * VFIO driver, and owned (`vfio_pci_dev_set_hot_reset()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @param fn The function.
 * @param owned Whether the kernel takes it as ours.
 */
export function obstacleOf(
  fn: PciFunction,
  owned: boolean,
): HotResetObstacle | undefined {
  const { address, driver } = fn;
  const onVfio = driver !== undefined &&
    (isVfioDriver(driver) || fn.vfioDevice !== undefined);
  if (!onVfio) {
    return {
      problem: driver === undefined
        ? `${address} is bound to no driver`
        : `${address} is bound to ${driver}, which is no VFIO driver`,
      remedy: isBridgeClass(fn.class)
        ? `no VFIO driver takes ${address}, a bridge: reset the functions alone`
        : `take ${address} too: host.take("${address}")`,
    };
  }
  if (owned) return undefined;
  return registered(fn) === undefined
    ? {
      problem: `this process has not attached ${address}`,
      remedy: `attach it to the same address space: ` +
        `VfioDevice.attach("${address}", device.space)`,
    }
    : {
      problem:
        `${address} is attached to another address space, by which the ` +
        "kernel does not know that it is ours",
      remedy: `attach ${address} to the same address space`,
    };
}
