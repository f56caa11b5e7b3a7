import type { Decoded, Fields, Struct } from "../../uapi/layout.ts";
import { refuse } from "./refusal.ts";

/**
 * Decodes a struct that was passed to an ioctl, as the kernel copies it in.
 * Fields beyond the caller's `argsz` or `size` are 0.
 *
 * @param layout The struct.
 * @param argument The argument of the ioctl.
 * @param least The smallest size in bytes. EINVAL below it.
 */
export function received<F extends Fields>(
  layout: Struct<F>,
  argument: Uint8Array | bigint,
  least: number = layout.size,
): Decoded<F> {
  const size = sizeOf(argument);
  if (size < least) refuse("EINVAL");
  const bytes = new Uint8Array(layout.size);
  bytes.set(inMemory(argument).subarray(0, Math.min(size, layout.size)));
  return layout.decode(bytes);
}

/** Returns the leading `argsz` or `size` of the argument. */
export function sizeOf(argument: Uint8Array | bigint): number {
  const bytes = inMemory(argument);
  if (bytes.length < 4) refuse("EFAULT");
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** Returns an argument that was passed by reference. EFAULT for a number. */
export function inMemory(argument: Uint8Array | bigint): Uint8Array {
  return argument instanceof Uint8Array ? argument : refuse("EFAULT");
}

/**
 * Answers with an info struct and its capability chain. Where the caller's room
 * is too small, it leaves the chain out and sets `argsz` to the size needed.
 *
 * @param argument The argument of the ioctl.
 * @param layout The info struct.
 * @param info Its values, except `argsz` and `cap_offset`.
 * @param capabilities The capabilities of the chain.
 */
export function answerInfo<F extends Fields>(
  argument: Uint8Array | bigint,
  layout: Struct<F>,
  info: Parameters<Struct<F>["encode"]>[1],
  capabilities: readonly InfoCapability[],
): void {
  const bytes = inMemory(argument);
  const argsz = sizeOf(argument);
  const chain = capabilities.reduce(
    (length, { bytes }) => length + padded(bytes.length),
    0,
  );
  const room = argsz >= layout.size + chain;
  const answer = layout.alloc(
    {
      ...info,
      argsz: room || chain === 0 ? argsz : layout.size + chain,
      ...(room && chain > 0 ? { cap_offset: layout.size } : {}),
    } as Parameters<Struct<F>["encode"]>[1],
  );
  bytes.set(answer.subarray(0, Math.min(bytes.length, argsz)));
  if (!room) return;
  let at = layout.size;
  for (const [i, capability] of capabilities.entries()) {
    const next = at + padded(capability.bytes.length);
    bytes.set(capability.bytes, at);
    const header = new DataView(bytes.buffer, bytes.byteOffset + at);
    header.setUint16(0, capability.id, true);
    header.setUint16(2, 1, true);
    header.setUint32(4, i + 1 < capabilities.length ? next : 0, true);
    at = next;
  }
}

/** One member of a capability chain. */
export interface InfoCapability {
  /** Its id. */
  readonly id: number;
  /** Its struct, with room for the header. */
  readonly bytes: Uint8Array;
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** Writes a 32-bit number into the argument. */
export function put32(
  argument: Uint8Array | bigint,
  at: number,
  value: number,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true);
}

/** Writes a 64-bit number into the argument. */
export function put64(
  argument: Uint8Array | bigint,
  at: number,
  value: bigint,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(at, value, true);
}
