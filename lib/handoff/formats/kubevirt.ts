/**
 * Devices for KubeVirt: what the cluster permits, and what a machine asks for.
 *
 * Rules: `pkg/virt-handler/device-manager/{pci_device,mediated_device}.go`,
 * which select by ids and by the name of a type, and take vfio-pci only.
 *
 * @module
 */

import type { HostDevice } from "../../host/device.ts";
import { deviceAtAddress, devicesOfBus } from "../bus.ts";
import { idPair } from "../../hex.ts";
import { shortJson } from "../../printable.ts";
import {
  type Emitted,
  type Format,
  type Handoff,
  inexpressible,
  jsonText,
} from "../format.ts";
import {
  assertVfioDriver,
  functionOf,
  type Handed,
  isMediated,
  mediatedType,
} from "../handed.ts";
import { resourceName } from "./names.ts";

/** Devices that KubeVirt selects by one text, as one resource. */
interface Resource {
  readonly selector: string;
  readonly isMediated: boolean;
  readonly resourceName: string;
  readonly devices: readonly Handed[];
}

/** What a cluster permits. */
export const KUBEVIRT: Format = {
  about: "the devices that KubeVirt permits in a cluster",
  options: ["name"],
  write(handoff: Handoff): Emitted {
    const resources = resourcesOf(handoff);
    const functions = resources.filter(({ isMediated }) => !isMediated)
      .map(({ selector, resourceName }) => ({
        pciVendorSelector: selector,
        resourceName,
        externalResourceProvider: false,
      }));
    const mediated = resources.filter(({ isMediated }) => isMediated)
      .map(({ selector, resourceName }) => ({
        mdevNameSelector: selector,
        resourceName,
        externalResourceProvider: false,
      }));
    return {
      text: jsonText({
        apiVersion: "kubevirt.io/v1",
        kind: "KubeVirt",
        metadata: { name: "kubevirt", namespace: "kubevirt" },
        spec: {
          configuration: {
            permittedHostDevices: {
              ...functions.length > 0 && { pciHostDevices: functions },
              ...mediated.length > 0 && { mediatedDevices: mediated },
            },
          },
        },
      }),
      notes: [
        "as a merge patch this replaces the lists that are there: kubectl " +
        "patch kubevirt kubevirt -n kubevirt --type merge --patch-file FILE",
      ],
    };
  },
};

/** What a machine asks for. */
export const KUBEVIRT_MACHINE: Format = {
  about: "the devices that a VirtualMachine of KubeVirt asks for",
  options: ["name"],
  write(handoff: Handoff): Emitted {
    const hostDevices = resourcesOf(handoff)
      .flatMap(({ devices, resourceName }) => devices.map(() => resourceName))
      .map((deviceName, i) => ({ name: `hd${i}`, deviceName }));
    return {
      text: jsonText({
        spec: {
          template: { spec: { domain: { devices: { hostDevices } } } },
        },
      }),
      notes: [
        "this is a merge patch of a VirtualMachine: kubectl patch vm NAME " +
        "--type merge --patch-file FILE",
      ],
    };
  },
};

function resourcesOf(handoff: Handoff): Resource[] {
  const { domain, name } = resourceName(handoff);
  const bySelector = new Map<string, Handed[]>();
  for (const handed of handoff.devices) {
    const selector = selectorOf(handed);
    bySelector.set(selector, [...bySelector.get(selector) ?? [], handed]);
  }
  const resources = [...bySelector].map(([selector, devices]) => {
    assertAlone(selector, devices);
    const suffix = bySelector.size === 1
      ? ""
      : `-${selector.toLowerCase().replaceAll(/[^a-z0-9._]/g, "-")}`;
    if (name.length + suffix.length > 63) {
      throw new TypeError(
        `The name is ${shortJson(name)}: expected at most ${
          63 - suffix.length
        } characters, as ${suffix} is added`,
      );
    }
    return {
      selector,
      isMediated: isMediated(devices[0]!, "KubeVirt"),
      resourceName: `${domain}/${name}${suffix}`,
      devices,
    };
  });
  assertDistinct(resources);
  return resources;
}

/** Refuses two types whose names differ only in what a resource cannot have. */
function assertDistinct(resources: readonly Resource[]): void {
  for (const [i, { resourceName, devices }] of resources.entries()) {
    const isFirst = resources.findIndex((other) =>
      other.resourceName === resourceName
    ) === i;
    if (isFirst && /[a-z0-9]$/i.test(resourceName)) continue;
    throw inexpressible(
      devices[0]!.device.name,
      `its resource would be ${resourceName}, which is ${
        isFirst ? "no name in Kubernetes" : "that of another device too"
      }`,
      "hand it over on its own",
    );
  }
}

function selectorOf(handed: Handed): string {
  if (isMediated(handed, "KubeVirt")) return typeSelector(handed.device);
  const { vendor, device } = functionOf(handed, "KubeVirt");
  const driver = assertVfioDriver(handed, "KubeVirt");
  if (driver !== "vfio-pci") {
    throw inexpressible(
      handed.device.name,
      `KubeVirt takes functions that are on vfio-pci, and ${driver} has it`,
      "bind it to vfio-pci",
    );
  }
  return idPair(vendor, device).toUpperCase();
}

/** The name by which KubeVirt knows a type: `getMdevTypeName()`. */
function typeSelector(device: HostDevice): string {
  return mediatedType(device).title.replaceAll(" ", "_");
}

/**
 * Refuses devices that KubeVirt cannot tell from others of this host, and
 * functions of one resource in one group, of which its plugin keeps one.
 */
function assertAlone(selector: string, devices: readonly Handed[]): void {
  const [{ device: first }] = devices as [Handed];
  const names = new Set(devices.map(({ device }) => device.name));
  const twin = devicesOfBus(first).find((name) =>
    !names.has(name) && isSame(selector, deviceAtAddress(first, name))
  );
  if (twin !== undefined) {
    throw inexpressible(
      first.name,
      `KubeVirt selects by ${selector}, by which it takes ${twin} as well`,
      `hand over ${twin} too, or keep it off vfio-pci and select by address: ` +
        "passthru emit sriov-device-plugin, or dra",
    );
  }
  const groups = new Map<string, string>();
  for (const { device } of devices) {
    const group = device.iommuGroup?.id;
    if (group === undefined) continue;
    const other = groups.get(group);
    if (other !== undefined) {
      throw inexpressible(
        device.name,
        `KubeVirt has one function of a resource in an IOMMU group, and ` +
          `${other} is in group ${group} too, with the same ids`,
        "hand over one of the two",
      );
    }
    groups.set(group, device.name);
  }
}

function isSame(selector: string, device: HostDevice | undefined): boolean {
  if (device === undefined) return false;
  if (device.bus === "mdev") return typeSelector(device) === selector;
  const handed = { device, driver: undefined, nodes: NO_NODES };
  const { vendor, device: id } = functionOf(handed, "KubeVirt");
  return idPair(vendor, id).toUpperCase() === selector;
}

const NO_NODES = { group: undefined, cdev: undefined };
