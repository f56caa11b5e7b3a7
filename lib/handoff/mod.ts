/**
 * Functions for those who use them: what a virtual machine monitor, a container
 * or a cluster is told, and descriptors for a program that may open nothing
 * itself.
 *
 * @example Print the arguments by which QEMU takes a function
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { qemuArguments } from "@passthru/vfio/handoff";
 *
 * const device = new Host().function("0000:01:00.0");
 * console.log(qemuArguments([{ device }], { by: "legacy" }).join(" "));
 * ```
 *
 * @module
 */

export { type ReceiveOptions, VfioDescriptors } from "./descriptors.ts";
export { emit, HANDOFF_FORMATS } from "./emit.ts";
export type { Emitted, HandoffFormat, HandoffOptions } from "./format.ts";
export * from "./qemu.ts";
export { qemuLockedMemory } from "./qemu_memory.ts";
