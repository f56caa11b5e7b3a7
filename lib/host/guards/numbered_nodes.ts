/**
 * The nodes of a function that sysfs does not show below it: their drivers
 * number them in their own way.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { parsePciAddress } from "../../pci/address.ts";
import { ifPresent, namesIn } from "../sysfs.ts";

/** NVIDIA's driver has no class in sysfs, and tells the minor numbers here. */
const NVIDIA = "/proc/driver/nvidia/gpus";

/** The processors that all processes with `/dev/kfd` open compute on. */
const KFD = "/sys/class/kfd/kfd/topology/nodes";

/**
 * The nodes in `/dev` that the drivers of a function number in their own way.
 *
 * @param kernel The system.
 * @param address The function's address.
 * @returns Paths, whether there are such nodes or not.
 */
export function numberedNodes(kernel: Kernel, address: string): string[] {
  return [...nvidiaNodes(kernel, address), ...kfdNodes(kernel, address)];
}

function nvidiaNodes(kernel: Kernel, address: string): string[] {
  const file = `${NVIDIA}/${address}/information`;
  const text = ifPresent(() => kernel.readFile(file)) ?? "";
  const [, minor] = /^Device Minor:\s*(\d+)\s*$/m.exec(text) ?? [];
  return minor === undefined ? [] : [`/dev/nvidia${minor}`];
}

/** All graphics processors of amdgpu share one node. */
function kfdNodes(kernel: Kernel, address: string): string[] {
  const { domain, bus, slot, function: number } = parsePciAddress(address);
  const location = bus << 8 | slot << 3 | number;
  const isListed = namesIn(kernel, KFD).some((name) => {
    const file = `${KFD}/${name}/properties`;
    const text = ifPresent(() => kernel.readFile(file)) ?? "";
    const value = (key: string) =>
      Number(new RegExp(`^${key} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
    // A node of the main processor has no SIMD units, and location 0.
    return value("simd_count") > 0 && value("location_id") === location &&
      value("domain") === domain;
  });
  return isListed ? ["/dev/kfd"] : [];
}
