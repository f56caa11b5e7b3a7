import { VfioError } from "../lib/errors.ts";
import { type HostDevice, IommuGroup } from "../lib/host/device.ts";
import { explainNoGroup } from "../lib/host/iommu/no_iommu.ts";
import { vfioNodes } from "../lib/host/iommu/nodes.ts";
import {
  standsInTheWay,
  takeTarget,
  vfioDriverOf,
} from "../lib/host/driver/vfio_driver.ts";
import type { AttachTarget, PassedNodes } from "./backend.ts";

/**
 * The nodes of a group and of a device that no IOMMU isolates
 * (`vfio_group_alloc()` in `drivers/vfio/group.c`,
 * `vfio_device_set_noiommu_and_name()` in `drivers/vfio/vfio_main.c`). The
 * group's name is no such sign: a mediated device has a group named
 * `vfio-noiommu` too, although its parent does DMA within the mappings only.
 */
const NO_IOMMU_NODE = /^\/dev\/vfio\/(devices\/)?noiommu-/;

/**
 * What is known of a device that is to be attached.
 *
 * @param device The device.
 * @param unsafeNoIommu Whether it is taken without an IOMMU, too.
 * @param passed Descriptors in place of its nodes.
 * @throws {VfioError} `NO_IOMMU_GROUP` or `WRONG_DRIVER`.
 */
export function attachTarget(
  device: HostDevice,
  unsafeNoIommu: boolean,
  passed?: PassedNodes,
): AttachTarget {
  const nodes = vfioNodes(device);
  const noIommu = NO_IOMMU_NODE.test(nodes.group ?? nodes.cdev ?? "");
  // Without CONFIG_VFIO_GROUP nothing makes a group for a device that no IOMMU
  // isolates. It is alone then.
  const group = device.iommuGroup ??
    (noIommu ? new IommuGroup(device.host, device.name) : undefined);
  if (group === undefined || (noIommu && !unsafeNoIommu)) {
    throw new VfioError("NO_IOMMU_GROUP", {
      device: device.name,
      ...explainNoGroup(device),
    });
  }
  // Only a VFIO driver gives the device such a node.
  if (nodes.cdev === undefined) assertVfioDriver(device);
  return {
    device,
    group,
    noIommu,
    nodes: passed === undefined
      ? nodes
      // An iommufd alone says where, and not how, the device is had.
      : isPlace(passed)
      ? { ...nodes, ...passed }
      : { group: undefined, cdev: undefined, ...passed },
  };
}

function isPlace({ group, cdev }: PassedNodes): boolean {
  return group === undefined && cdev === undefined;
}

function assertVfioDriver(device: HostDevice): void {
  const { name, driver, bus, vfioDevice } = device;
  if (driver !== undefined && !standsInTheWay({ driver, bus, vfioDevice })) {
    return;
  }
  throw new VfioError("WRONG_DRIVER", {
    device: name,
    problem: driver === undefined
      ? "it is bound to no driver"
      : `it is bound to ${driver}, which is no VFIO driver`,
    hint: vfioDriverOf(bus) === undefined
      ? "bind it to a VFIO driver first"
      : `take it over first: host.take("${takeTarget(device)}")`,
  });
}
