import type { Encodable, Fields, Struct } from "../uapi/layout.ts";
import { vfio_info_cap_header } from "../uapi/vfio.ts";

/** A member of the capability chain behind an info struct. */
export interface InfoCapability {
  /** What it describes. */
  readonly id: number;
  /** Where it begins, in bytes from the start of the info struct. */
  readonly at: number;
}

/**
 * Asks for one of VFIO's info structs with everything behind it: the kernel
 * answers a larger `argsz` where the buffer is too short for its capabilities.
 *
 * @param ask Makes the ioctl with the bytes given.
 * @param layout Its struct.
 * @param values What is asked for.
 * @returns The struct's bytes, and its capabilities behind it.
 */
export function readInfo<F extends Fields>(
  ask: (argument: Uint8Array) => void,
  layout: Struct<F>,
  values: Encodable<F> = {},
): Uint8Array {
  let bytes = layout.alloc(values);
  ask(bytes);
  // Every info struct begins with it.
  const argsz = new DataView(bytes.buffer).getUint32(0, true);
  if (argsz > bytes.length) {
    bytes = layout.alloc(values, argsz - bytes.length);
    ask(bytes);
  }
  return bytes;
}

/**
 * The capabilities of an info struct, in the order of their chain.
 *
 * @param bytes What {@linkcode readInfo} gave.
 * @param first The struct's `cap_offset`; 0 where there is no chain.
 */
export function* infoCapabilities(
  bytes: Uint8Array,
  first: number,
): Generator<InfoCapability> {
  for (let at = first; at !== 0;) {
    const { id, next } = vfio_info_cap_header.decode(bytes, at);
    yield { id, at };
    at = next;
  }
}
