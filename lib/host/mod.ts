/**
 * A host to look at: its functions and how they are wired, what drivers make of
 * them, what the host uses them for, and why one has no IOMMU group.
 *
 * @example List what the host cannot do without
 * ```ts
 * import { Host, usesOf } from "@passthru/vfio/host";
 *
 * const host = new Host();
 * for (const fn of host.functions()) {
 *   for (const { problem } of usesOf(host, fn)) {
 *     console.log(`${fn.address}: ${problem}`);
 *   }
 * }
 * ```
 *
 * @module
 */

export { type DriverNode, driverNodes } from "./driver/nodes.ts";
export { type HowToInsist, refuseInUse } from "./guards/refuse.ts";
export type { Use, UseKind } from "./guards/use.ts";
export { usesOf } from "./guards/uses.ts";
export type { Explanation } from "./iommu/explanation.ts";
export { explainNoGroup } from "./iommu/no_iommu.ts";
export { Host, type HostOptions } from "./host.ts";
export { bridgePath, serialNumber } from "./pci/identity.ts";
export {
  type PciHost,
  type PciNode,
  type PciTree,
  pciTree,
  type RootBus,
  type SharedGroup,
  type SharingCause,
} from "./pci/topology/tree.ts";
