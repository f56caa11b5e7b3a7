/**
 * What a posted text does not tell.
 *
 * @module
 */

/** A part of a host that a text can leave out. */
export type Unknown =
  | "iommu"
  | "groups"
  | "bridges"
  | "drivers"
  | "capabilities"
  | "bars"
  | "kernel"
  | "commandLine"
  | "interrupts"
  | "modules"
  | "uses"
  | "rights"
  | "claims"
  | "reserved"
  | "state";

/** What each part is, and the command whose output tells it. */
export const ASK_FOR: Readonly<Record<Unknown, readonly [string, string]>> = {
  iommu: ["whether an IOMMU translates", "ls /sys/class/iommu"],
  groups: [
    "the IOMMU groups",
    "find /sys/kernel/iommu_groups -type l",
  ],
  bridges: ["which bridge leads to which bus", "lspci -t"],
  drivers: ["the drivers", "lspci -nnk"],
  capabilities: ["resets, ACS and interrupts", "sudo lspci -nnvvv"],
  bars: ["the BARs", "sudo lspci -nnvvv"],
  kernel: ["the kernel's release", "uname -r"],
  commandLine: ["the kernel's command line", "cat /proc/cmdline"],
  interrupts: [
    "whether interrupts are remapped",
    "grep -m1 IR- /proc/interrupts",
  ],
  modules: ["which modules are loaded", "lsmod | grep vfio"],
  uses: [
    "what the host uses: disks, routes, the display",
    "lsblk; ip route",
  ],
  rights: ["what the user may do", "id; ulimit -l"],
  claims: ["what has claimed memory", "sudo cat /proc/iomem"],
  reserved: [
    "what memory the firmware keeps mapped",
    "cat /sys/kernel/iommu_groups/*/reserved_regions",
  ],
  state: ["whether the functions are awake and answer", "sudo lspci -xxx"],
};
