/**
 * What drivers of devices with rings share: structs in DMA memory with fields,
 * the order of memory accesses, doorbells.
 *
 * @example Sixteen descriptors, of which the first is handed over
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { Doorbell, Ring, u32, u64 } from "@passthru/vfio/rings";
 *
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * using registers = device.bar(0).map();
 * const memory = space.allocate(8192);
 * const ring = new Ring(memory.slice(0, 256), {
 *   size: 16,
 *   fields: { address: u64(0), length: u32(8) },
 * });
 * ring.fields.address.set(0, Number(memory.slice(4096).iova));
 * ring.fields.length.set(0, 2048);
 * new Doorbell(registers, 0x18).ring(1);
 * ```
 *
 * @module
 */

export { Doorbell } from "./doorbell.ts";
export { type Field, type FieldType, u16, u32, u64, u8 } from "./fields.ts";
export { acquire, fence, publish } from "./order.ts";
export {
  type FieldTypes,
  Ring,
  type RingMemory,
  type RingShape,
} from "./ring.ts";
export {
  type MemoryPlace,
  memoryPlace,
  type RegistersPlace,
  registersPlace,
  SharedMemory,
  SharedRegisters,
} from "./shared.ts";
