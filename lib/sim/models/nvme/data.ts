/**
 * Where an NVMe command's data is in memory: PRPs (Base Specification 2.0,
 * section 4.1.1).
 *
 * @module
 */

import type { DevicePort } from "../model.ts";

const PAGE = 4096;

/** A part of the data: an IOVA and bytes. */
export type Part = readonly [iova: bigint, bytes: number];

/**
 * Finds the data of a command.
 *
 * @param port The bus, to read lists of pages by.
 * @param dwords The command.
 * @param bytes The length of its data.
 * @returns The parts of it; `undefined` if a pointer is malformed.
 */
export function dataOf(
  port: DevicePort,
  dwords: Uint32Array,
  bytes: number,
): Part[] | undefined {
  const first = address(dwords, 6);
  const second = address(dwords, 8);
  const offset = Number(first % BigInt(PAGE));
  if (offset % 4 !== 0) return undefined;
  const parts: Part[] = [[first, Math.min(bytes, PAGE - offset)]];
  let left = bytes - parts[0]![1];
  if (left === 0) return parts;
  if (left <= PAGE) {
    if (second % BigInt(PAGE) !== 0n) return undefined;
    return [...parts, [second, left]];
  }
  // A list can continue in another, and a wrong one in itself.
  let list = second;
  for (let lists = 0; left > 0; lists++) {
    if (lists > bytes / PAGE) return undefined;
    const count = (PAGE - Number(list % BigInt(PAGE))) / 8;
    const entries = new BigUint64Array(count);
    port.dmaRead(list, new Uint8Array(entries.buffer));
    for (const [i, entry] of entries.entries()) {
      if (left === 0) break;
      if (i === count - 1 && left > PAGE) {
        list = entry;
        break;
      }
      if (entry % BigInt(PAGE) !== 0n) return undefined;
      parts.push([entry, Math.min(left, PAGE)]);
      left -= Math.min(left, PAGE);
    }
  }
  return parts;
}

/** A pointer in two dwords. */
export function address(dwords: Uint32Array, at: number): bigint {
  return BigInt(dwords[at]!) | BigInt(dwords[at + 1]!) << 32n;
}
