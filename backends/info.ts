import type { Encodable, Fields, Struct } from "../lib/uapi/layout.ts";
import { vfio_info_cap_header } from "../lib/uapi/vfio/container.ts";
import { errnoNumber, KernelError } from "../lib/kernel/errno.ts";

/** A member of the capability chain behind an info struct. */
export interface InfoCapability {
  /** What it describes. */
  readonly id: number;
  /** Where it begins, in bytes from the start of the info struct. */
  readonly at: number;
}

/**
 * Reads one of VFIO's info structs with its capabilities. Where the buffer is
 * too short for them, the kernel answers with a larger `argsz`.
 *
 * @param ask Makes the ioctl with these bytes.
 * @param layout Its struct.
 * @param values What is asked for.
 * @param room How many bytes of capabilities are expected; with as many or
 * fewer, one call is enough.
 * @returns The struct's bytes, and its capabilities behind it.
 */
export function readInfo<F extends Fields>(
  ask: (argument: Uint8Array) => void,
  layout: Struct<F>,
  values?: Encodable<F>,
  room = 0,
): Uint8Array {
  for (let extraBytes = room;;) {
    const bytes = layout.alloc(values, extraBytes);
    ask(bytes);
    // Every info struct begins with it.
    const argsz = new DataView(bytes.buffer).getUint32(0, true);
    if (argsz <= bytes.length) return bytes;
    // The answer can grow from one call to the next.
    extraBytes = argsz - layout.size;
  }
}

/**
 * The capabilities of an info struct, in the order of their chain.
 *
 * @param bytes What {@linkcode readInfo} gave.
 * @param first The struct's `cap_offset`; 0 where there is no chain.
 * @throws {KernelError} `EBADMSG` if the chain leads out of `bytes` or back.
 */
export function* infoCapabilities(
  bytes: Uint8Array,
  first: number,
): Generator<InfoCapability> {
  const { size } = vfio_info_cap_header;
  let room = Math.floor(bytes.length / size);
  for (let at = first; at !== 0;) {
    if (at + size > bytes.length || room-- === 0) {
      throw new KernelError(errnoNumber("EBADMSG"), "capability chain");
    }
    const { id, next } = vfio_info_cap_header.decode(bytes, at);
    yield { id, at };
    at = next;
  }
}
