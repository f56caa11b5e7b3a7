import { VfioError } from "../lib/errors.ts";
import type { HostDevice } from "../lib/host/device.ts";
import { explainNoGroup } from "../lib/host/no_iommu.ts";
import { vfioNodes } from "../lib/host/nodes.ts";
import { standsInTheWay } from "../lib/host/vfio_driver.ts";
import type { AttachTarget } from "./backend.ts";

/** What VFIO calls a group that it made for a device without an IOMMU. */
const NO_IOMMU_GROUP = "vfio-noiommu";

/**
 * What is known of a device that is to be attached.
 *
 * @param device The device.
 * @param unsafeNoIommu Whether it is taken without an IOMMU, too.
 * @throws {VfioError} `NO_IOMMU_GROUP` or `WRONG_DRIVER`.
 */
export function attachTarget(
  device: HostDevice,
  unsafeNoIommu: boolean,
): AttachTarget {
  const group = device.iommuGroup;
  const noIommu = group?.name === NO_IOMMU_GROUP;
  if (group === undefined || (noIommu && !unsafeNoIommu)) {
    throw new VfioError("NO_IOMMU_GROUP", {
      device: device.name,
      ...explainNoGroup(device),
    });
  }
  const nodes = vfioNodes(device);
  if (standsInTheWay(device) || device.driver === undefined) {
    throw wrongDriver(device);
  }
  return { device, group, noIommu, nodes };
}

function wrongDriver({ name, driver, bus }: HostDevice): VfioError {
  return new VfioError("WRONG_DRIVER", {
    device: name,
    problem: driver === undefined
      ? "it is bound to no driver"
      : `it is bound to ${driver}, which is no VFIO driver`,
    hint: bus === "pci"
      ? `take it over first: host.take("${name}")`
      : "bind it to a VFIO driver first",
  });
}
