import type { Decoded, Fields, Struct } from "../../uapi/layout.ts";
import { refuse } from "./refusal.ts";

/**
 * A struct that was passed to an ioctl, as the kernel copies it in: what the
 * caller's `argsz` or `size` leaves out is 0.
 *
 * @param layout The struct.
 * @param argument What was passed.
 * @param least The bytes that have to be there; EINVAL where they are not.
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

/** The leading `argsz` or `size` of what was passed. */
export function sizeOf(argument: Uint8Array | bigint): number {
  const bytes = inMemory(argument);
  if (bytes.length < 4) refuse("EFAULT");
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** What was passed by reference; EFAULT where a number was. */
export function inMemory(argument: Uint8Array | bigint): Uint8Array {
  return argument instanceof Uint8Array ? argument : refuse("EFAULT");
}

/**
 * Answers with an info struct and its capability chain: without the chain, and
 * with the `argsz` that it takes, where the caller left too little room.
 *
 * @param argument What was passed.
 * @param layout The info struct.
 * @param info Its values, but for `argsz` and `cap_offset`.
 * @param capabilities The chain, each without its place.
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
  /** What it describes. */
  readonly id: number;
  /** Its struct, with room for its header. */
  readonly bytes: Uint8Array;
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** Answers with a number of 32 bits in what was passed. */
export function put32(
  argument: Uint8Array | bigint,
  at: number,
  value: number,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true);
}

/** Answers with a number of 64 bits in what was passed. */
export function put64(
  argument: Uint8Array | bigint,
  at: number,
  value: bigint,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(at, value, true);
}
