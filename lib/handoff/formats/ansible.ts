/**
 * An inventory of Ansible, with what this host hands over as a variable.
 *
 * Rules: `plugins/inventory/yaml.py`, which also reads JSON, and expands
 * brackets and ports in names of hosts; values with braces are templates.
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import {
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
import { nodeName } from "./names.ts";

/** An inventory. */
export const ANSIBLE: Format = {
  about: "an inventory of Ansible, with the devices as a variable of the host",
  options: ["node"],
  write(handoff: Handoff): Emitted {
    const { devices } = handoff;
    return {
      text: jsonText({
        all: {
          hosts: {
            [nodeName(handoff)]: { passthru_devices: devices.map(factsOf) },
          },
        },
      }),
      notes: [],
    };
  },
};

function factsOf(handed: Handed): Readonly<Record<string, unknown>> {
  const { device, driver = null } = handed;
  const group = device.iommuGroup?.id;
  const common = {
    name: device.name,
    driver,
    iommu_group: group === undefined ? null : Number(group),
  };
  const facts = isMediated(handed, "Ansible")
    ? { ...common, bus: "mdev", type: mediatedType(device).type }
    : { ...common, bus: "pci", ...functionFacts(handed) };
  for (const [key, value] of Object.entries(facts)) {
    if (typeof value !== "string" || !/\{[{%#]/.test(value)) continue;
    throw inexpressible(
      device.name,
      `its ${key} would be a template of Ansible's`,
      "leave it out",
    );
  }
  return facts;
}

function functionFacts(handed: Handed): Readonly<Record<string, unknown>> {
  const fn = functionOf(handed, "Ansible");
  return {
    vendor: hexDigits(fn.vendor, 4),
    device: hexDigits(fn.device, 4),
    subsystem_vendor: hexDigits(fn.subsystemVendor, 4),
    subsystem_device: hexDigits(fn.subsystemDevice, 4),
    class: hexDigits(fn.class, 6),
    numa_node: fn.numaNode ?? null,
  };
}
