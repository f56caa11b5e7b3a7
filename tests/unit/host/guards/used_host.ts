/**
 * A host that uses its functions, and the uses that are found.
 */
import { assertEquals } from "@std/assert";
import { usesOf } from "../../../../lib/host/guards/uses.ts";
import type { Host } from "../../../../lib/host/host.ts";
import { simulate, type SimulatedHost } from "../../../../lib/sim/host.ts";
import type { Topology } from "../../../../lib/sim/machine/topology.ts";
import { HostFiles } from "../../host_files.ts";

export const NVME = "0000:00:07.0";
export const OTHER = "0000:00:06.0";
export const NIC = "0000:00:08.0";
export const GPU = "0000:00:09.0";
export const SOUND = "0000:00:0a.0";

/** The path of a function in sysfs. */
export const at = (address: string) => `/sys/devices/pci0000:00/${address}`;

export const FUNCTIONS: Topology["functions"] = {
  [NVME]: { id: "1b36:0010", class: 0x010802, driver: "nvme" },
  [OTHER]: { id: "1b36:0010", class: 0x010802, driver: "nvme" },
  [NIC]: { id: "8086:10d3", class: 0x020000, driver: "e1000e" },
  [GPU]: { id: "10de:1eb8", class: 0x030000 },
  [SOUND]: { id: "8086:2668", class: 0x040300, driver: "snd_hda_intel" },
};

/**
 * The files of a host with a disk of two partitions, one without, and an
 * interface.
 */
export function usual(): HostFiles {
  return new HostFiles()
    .disk(`${at(NVME)}/nvme/nvme0/nvme0n1`, "259:0", 2)
    .disk(`${at(OTHER)}/nvme/nvme1/nvme1n1`, "259:8")
    .network(`${at(NIC)}/net/eth0`)
    .network("/sys/devices/virtual/net/lo");
}

/** A host with these files, and with their functions. */
export function hostWith({ all }: HostFiles): SimulatedHost {
  return simulate({ functions: FUNCTIONS!, files: all });
}

/** Finds the uses of a function: their kinds and texts. */
export function uses(host: Host, address: string): [string, string][] {
  return usesOf(host, host.function(address)).map((use) => {
    assertEquals(use.device, address);
    return [use.kind, use.problem];
  });
}

/** The destination and the mask of the default route. */
export const DEFAULT = ["00000000", "00000000"] as const;
