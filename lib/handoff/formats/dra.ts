/**
 * A ResourceSlice and a DeviceClass of Kubernetes' dynamic resource allocation.
 *
 * Rules: `pkg/apis/resource/validation` of Kubernetes 1.34, for
 * `resource.k8s.io/v1`, which no schema has.
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { shortJson } from "../../printable.ts";
import {
  assertVersion,
  type Emitted,
  type Format,
  type Handoff,
  inexpressible,
  jsonText,
} from "../format.ts";
import {
  functionOf,
  type Handed,
  isMediated,
  mediatedType,
} from "../handed.ts";
import { isLabel, isSubdomain, nodeName, resourceName } from "./names.ts";

const WHO = "DRA";

/** What a slice and its attributes may have at most. */
const MOST = { devices: 128, driver: 63, text: 64, attributes: 32 } as const;

/** The value of an attribute: one of its types. */
type Value = { readonly string: string } | { readonly int: number };

/** A ResourceSlice and a DeviceClass. */
export const DRA: Format = {
  about: "a ResourceSlice and a DeviceClass for Kubernetes' DRA",
  options: ["name", "node", "consumer"],
  write,
};

function write(handoff: Handoff): Emitted {
  const { devices, options } = handoff;
  assertVersion(options, "Kubernetes", "resource.k8s.io/v1", "1.34");
  const { domain: driver, name } = resourceName(handoff);
  if (driver.length > MOST.driver || !isSubdomain(name)) {
    throw new TypeError(
      `The name is ${shortJson(`${driver}/${name}`)}: expected a driver of ` +
        `at most ${MOST.driver} characters, and a class in lower case`,
    );
  }
  if (devices.length > MOST.devices) {
    throw inexpressible(
      undefined,
      `a ResourceSlice has at most ${MOST.devices} devices, and these are ` +
        `${devices.length}`,
      "hand them over in several",
    );
  }
  const node = nodeName(handoff);
  const slice = {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name: sliceName(node, driver) },
    spec: {
      driver,
      nodeName: node,
      pool: { name: node, generation: 1, resourceSliceCount: 1 },
      devices: devices.map(deviceOf),
    },
  };
  const deviceClass = {
    apiVersion: "resource.k8s.io/v1",
    kind: "DeviceClass",
    metadata: { name },
    spec: {
      selectors: [{ cel: { expression: `device.driver == "${driver}"` } }],
    },
  };
  return {
    text: jsonText({
      apiVersion: "v1",
      kind: "List",
      items: [slice, deviceClass],
    }),
    notes: [
      `a kubelet plugin of the name ${driver} has to prepare what is ` +
      "allocated; a CDI specification names the nodes: passthru emit cdi",
    ],
  };
}

/** A name with both parts, which is a DNS subdomain too. */
function sliceName(node: string, driver: string): string {
  const name = `${node}-${driver}`;
  if (isSubdomain(name)) return name;
  throw inexpressible(
    undefined,
    `${shortJson(name)} is too long for the name of a ResourceSlice`,
    "choose a shorter name",
  );
}

function deviceOf(handed: Handed): unknown {
  const { device } = handed;
  const mediated = isMediated(handed, WHO);
  const name = (mediated ? "mdev-" : "pci-") +
    device.name.toLowerCase().replaceAll(/[:.]/g, "-");
  if (!isLabel(name)) {
    throw inexpressible(
      device.name,
      `${name} is no DNS label, as DRA has names`,
      "leave it out",
    );
  }
  const values = mediated
    ? mediatedValues(handed)
    : functionValues(functionOf(handed, WHO), handed);
  const attributes = Object.entries(values)
    .filter((entry): entry is [string, Value] => entry[1] !== undefined);
  for (const [key, value] of attributes) assertValue(device.name, key, value);
  return { name, attributes: Object.fromEntries(attributes) };
}

type Values = Readonly<Record<string, Value | undefined>>;

function functionValues(fn: PciFunction, { driver }: Handed): Values {
  // pci0000:00, the root complex.
  const root = /\/(pci[0-9a-f]{4,}:[0-9a-f]{2})\//.exec(fn.path)?.[1];
  const { iommuGroup, numaNode } = fn;
  const id = (value: number) => ({ string: hexDigits(value, 4) });
  return {
    "resource.kubernetes.io/pciBusID": { string: fn.address },
    "resource.kubernetes.io/pcieRoot": root === undefined
      ? undefined
      : { string: root },
    vendor: id(fn.vendor),
    device: id(fn.device),
    class: { string: hexDigits(fn.class, 6) },
    driver: driver === undefined ? undefined : { string: driver },
    iommuGroup: iommuGroup && { int: Number(iommuGroup.id) },
    numaNode: numaNode === undefined ? undefined : { int: numaNode },
  };
}

function mediatedValues({ device }: Handed): Values {
  const { type } = mediatedType(device);
  const group = device.iommuGroup?.id;
  return {
    uuid: { string: device.name },
    type: { string: type },
    iommuGroup: group === undefined ? undefined : { int: Number(group) },
  };
}

function assertValue(device: string, key: string, value: Value): void {
  if (!("string" in value) || value.string.length <= MOST.text) return;
  throw inexpressible(
    device,
    `its ${key} is longer than the ${MOST.text} characters that an ` +
      "attribute may have",
    "leave it out",
  );
}
