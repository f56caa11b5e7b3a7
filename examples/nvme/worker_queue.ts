/**
 * A queue that a Worker serves: its rings are the process's memory, which the
 * Worker sees at the same addresses, and it rings the doorbells itself. The
 * thread that has started the controller keeps the admin queue.
 *
 * @module
 */
import type { MappedRegisters } from "../../mod.ts";
import {
  type MemoryPlace,
  type RegistersPlace,
  registersPlace,
  SharedMemory,
  SharedRegisters,
} from "../../lib/rings/mod.ts";
import { Doorbells } from "./doorbells.ts";
import { QueuePair } from "./queue_pair.ts";
import type { QueueSizes } from "./queue_shape.ts";

/** A queue, as it is posted to a Worker. */
export interface PostedQueue {
  /** Its number. */
  readonly id: number;
  /** The controller's address. */
  readonly device: string;
  /** How many slots it has. */
  readonly sizes: QueueSizes;
  /** Its rings. */
  readonly memory: MemoryPlace;
  /** BAR 0. */
  readonly registers: RegistersPlace;
  /** Bytes from one doorbell to the next. */
  readonly stride: number;
  /** The doorbells in memory, where they are used. */
  readonly shadow: MemoryPlace | undefined;
}

/**
 * Describes a queue for a Worker: `NvmeController.post`.
 *
 * @param device The controller's address.
 * @param pair The queue, which nobody has used yet.
 * @param registers BAR 0.
 */
export function describeQueue(
  device: string,
  pair: QueuePair,
  registers: MappedRegisters,
): PostedQueue {
  const { id, sizes, doorbells } = pair;
  const place = ({ address, iova, size }: MemoryPlace) => ({
    ...{ address, iova, size },
  });
  return {
    ...{ id, device, sizes, stride: doorbells.stride },
    memory: place(pair.memory),
    registers: registersPlace(registers),
    shadow: doorbells.shadow && place(doorbells.shadow),
  };
}

/**
 * Takes a queue over, in a Worker. It submits and polls as any other does, and
 * has nobody who looks after its commands.
 *
 * @param posted What `NvmeController.post` has described. The controller must
 * neither be reset nor stopped before the Worker has ended.
 */
export function adoptQueue(posted: PostedQueue): QueuePair {
  const { id, device, sizes, memory, registers, stride, shadow } = posted;
  const { buffer } = new SharedMemory(memory);
  const doorbells = new Doorbells(
    { bar: new SharedRegisters(registers), stride },
    shadow && new SharedMemory(shadow),
  );
  // The memory is freed where it was allocated.
  const rings = { ...memory, buffer, free() {} };
  return new QueuePair(id, device, rings, doorbells, sizes);
}
