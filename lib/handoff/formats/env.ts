/**
 * Variables, as `EnvironmentFile=` of systemd and `--env-file` of podman read
 * them: without quotes, so that both take the same.
 *
 * @module
 */

import { IOMMUFD_NODE } from "../../host/iommu/nodes.ts";
import { PciFunction } from "../../host/pci/function.ts";
import { shortJson } from "../../printable.ts";
import type { Emitted, Format, Handoff } from "../format.ts";
import { nodeOf } from "../handed.ts";

/** Variables for scripts and units. */
export const ENV: Format = {
  about: "variables, for units and scripts",
  options: ["iommufd", "name"],
  write,
};

function write(
  { devices, options: { iommufd = false, name } }: Handoff,
): Emitted {
  const nodes = devices.map((handed) => nodeOf(handed, iommufd, "a program"));
  const shared = iommufd ? IOMMUFD_NODE : "/dev/vfio/vfio";
  const groups = devices.map(({ device }) => device.iommuGroup?.id ?? "");
  const named = (isPci: boolean) =>
    devices.filter(({ device }) => device instanceof PciFunction === isPci)
      .map(({ device }) => device.name);
  const variables: [string, readonly string[]][] = [
    ["PASSTHRU_DEVICES", devices.map(({ device }) => device.name)],
    ["PASSTHRU_GROUPS", [...new Set(groups)]],
    ["PASSTHRU_NODES", [shared, ...new Set(nodes)]],
    ...name === undefined ? [] : [
      [`PCI_RESOURCE_${suffix(name)}`, named(true)] as [string, string[]],
      [`MDEV_PCI_RESOURCE_${suffix(name)}`, named(false)] as [string, string[]],
    ],
  ];
  return {
    text: variables.filter(([, values]) => values.length > 0)
      .map(([key, values]) => `${key}=${values.join(",")}\n`).join(""),
    notes: [],
  };
}

/**
 * The end of the name of a variable of Kubernetes' device plugins (KubeVirt's
 * `ResourceNameToEnvVar`).
 */
function suffix(name: string): string {
  const text = name.toUpperCase().replaceAll(/[/.]/g, "_");
  if (/^[A-Z0-9_]+$/.test(text)) return text;
  throw new TypeError(
    `The name is ${shortJson(name)}: expected letters, digits and . / _, as ` +
      "in the name of a variable",
  );
}
