/**
 * Waiting for the nodes of a device that a VFIO driver has.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../device.ts";
import { nodePaths } from "../iommu/nodes.ts";
import { exists } from "../sysfs.ts";
import type { Deadline } from "./deadline.ts";
import { isVfioDriver } from "./vfio_driver.ts";

/**
 * Waits until the nodes that the kernel has announced exist.
 *
 * @param device The device.
 * @param driver Its driver. Only VFIO's make nodes.
 * @param deadline How long to wait.
 * @throws {VfioError} `TIMED_OUT`.
 */
export async function untilNodesAppear(
  device: HostDevice,
  driver: string,
  deadline: Deadline,
): Promise<void> {
  if (!isVfioDriver(driver)) return;
  const missing = () =>
    nodePaths([device]).filter((path) => !exists(device.host.kernel, path));
  await deadline.until(
    () => missing().length === 0 ? true : undefined,
    () =>
      new VfioError("TIMED_OUT", {
        device: device.name,
        problem: `${missing().join(" and ")} did not appear in ` +
          `${deadline.timeout} ms`,
        hint: "mount devtmpfs on /dev; in a container, let its runtime add " +
          "the nodes",
      }),
  );
}
