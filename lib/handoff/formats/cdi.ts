/**
 * Specifications of the Container Device Interface, by which podman, containerd
 * and CRI-O give containers devices.
 *
 * Rules: the loader of `tags.cncf.io/container-device-interface`, `pkg/cdi`,
 * which are more than those of its JSON schema. Tried with podman 4.3.
 *
 * @module
 */

import { IOMMUFD_NODE } from "../../host/iommu/nodes.ts";
import { shortJson } from "../../printable.ts";
import {
  DEFAULT_NAME,
  type Emitted,
  type Format,
  type Handoff,
  inexpressible,
  jsonText,
} from "../format.ts";
import { nodeOf } from "../handed.ts";

/** The lowest version of the format that has names which begin with a digit. */
const VERSION = "0.5.0";

const CONTAINER_NODE = "/dev/vfio/vfio";

/** A node that a container gets. */
interface DeviceNode {
  readonly path: string;
  readonly permissions: "rw";
}

/** CDI: a specification of devices for containers. */
export const CDI: Format = {
  about: "a CDI specification, for podman, containerd and CRI-O",
  options: ["iommufd", "name", "consumer"],
  write,
};

function write(handoff: Handoff): Emitted {
  const { devices, options: { iommufd = false, name, consumer } } = handoff;
  const kind = kindOf(name ?? DEFAULT_NAME);
  assertReads(consumer);
  const node = (path: string): DeviceNode => ({ path, permissions: "rw" });
  const spec = {
    cdiVersion: VERSION,
    kind,
    devices: devices.map((handed) => ({
      name: deviceName(handed.device.name),
      containerEdits: {
        deviceNodes: [node(nodeOf(handed, iommufd, "a container"))],
      },
    })),
    containerEdits: {
      deviceNodes: [node(iommufd ? IOMMUFD_NODE : CONTAINER_NODE)],
    },
  };
  return {
    text: jsonText(spec),
    notes: [
      "CDI has no limit on locked memory, which device memory counts " +
      "against: run the container with --ulimit memlock=-1:-1",
      `the devices are ${
        devices.map(({ device }) => `${kind}=${device.name}`).join(", ")
      }`,
    ],
  };
}

/** `ParseQualifier`, `ValidateVendorName` and `ValidateClassName`. */
function kindOf(text: string): string {
  const [vendor = "", name = "", more] = text.split("/");
  const isVendor = /^[A-Za-z]([\w.-]*[A-Za-z0-9])?$/.test(vendor);
  // A class with a dot needs version 0.6.
  const isClass = /^[A-Za-z]([\w-]*[A-Za-z0-9])?$/.test(name);
  if (isVendor && isClass && more === undefined) return text;
  throw new TypeError(
    `The kind is ${shortJson(text)}: expected VENDOR/CLASS such as ` +
      '"example.com/gpu", each beginning with a letter and ending with a ' +
      "letter or digit, and no dot in the class",
  );
}

/** `ValidateDeviceName`. */
function deviceName(name: string): string {
  if (/^[A-Za-z0-9]([\w.:-]*[A-Za-z0-9])?$/.test(name)) return name;
  throw inexpressible(
    name,
    "CDI has names of letters, digits and _ - . : only, which begin and end " +
      "with a letter or digit",
    "leave it out",
  );
}

/** Refuses a reader that is older than the format's version. */
function assertReads(consumer: string | undefined): void {
  if (consumer === undefined) return;
  const [major = 0, minor = 0] = consumer.split(".").map(Number);
  if (major > 0 || minor >= 5) return;
  throw inexpressible(
    undefined,
    `a reader of CDI ${consumer} refuses names that begin with a digit, as ` +
      `addresses do: CDI ${VERSION} has them`,
    "use podman 4.3, containerd 1.7, or newer",
  );
}
