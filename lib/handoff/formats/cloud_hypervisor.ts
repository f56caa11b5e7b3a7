/**
 * Devices for cloud-hypervisor: its arguments, and the part of its HTTP API's
 * `vm.create`.
 *
 * Rules: `vmm/src/config.rs` and `vmm/src/api/openapi/cloud-hypervisor.yaml`.
 *
 * @module
 */

import type { Emitted, Format, Handoff } from "../format.ts";
import { inexpressible, jsonText } from "../format.ts";
import { type Handed, isMediated, mediatedType } from "../handed.ts";

/** cloud-hypervisor's arguments. */
export const CLOUD_HYPERVISOR: Format = {
  about: "arguments of cloud-hypervisor",
  options: ["iommufd"],
  write({ devices, options: { iommufd = false } }: Handoff): Emitted {
    const platform = iommufd ? ["--platform", "iommufd=on"] : [];
    // One --device takes several values; a second one is an error.
    const values = configs(devices).map(({ path, id }) =>
      `path=${path},id=${id}`
    );
    return {
      text: `${[...platform, "--device", ...values].join(" ")}\n`,
      notes: iommufd
        ? [
          "--platform is given once: add iommufd=on to yours, if you have one",
        ]
        : [],
    };
  },
};

/** The part of `vm.create` about devices. */
export const CLOUD_HYPERVISOR_API: Format = {
  about: "the part of cloud-hypervisor's vm.create about devices",
  options: ["iommufd"],
  write({ devices, options: { iommufd = false } }: Handoff): Emitted {
    return {
      text: jsonText({
        ...iommufd && { platform: { iommufd } },
        devices: configs(devices),
      }),
      notes: [
        "this is a part of the body of PUT /api/v1/vm.create; " +
        "PUT /api/v1/vm.add-device takes one of the devices",
      ],
    };
  },
};

/** A `DeviceConfig`. */
interface DeviceConfig {
  readonly path: string;
  readonly id: string;
}

function configs(devices: readonly Handed[]): DeviceConfig[] {
  return devices.map((handed, i) => {
    const { device } = handed;
    const mediated = isMediated(handed, "cloud-hypervisor");
    if (mediated && mediatedType(device).api !== "vfio-pci") {
      throw inexpressible(
        device.name,
        "cloud-hypervisor has PCI devices only, and this one is " +
          mediatedType(device).api,
        "leave it out",
      );
    }
    const bus = mediated ? "mdev" : "pci";
    return { path: `/sys/bus/${bus}/devices/${device.name}`, id: `hd${i}` };
  });
}
