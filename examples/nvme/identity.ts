/**
 * What a controller says of itself and of its namespaces (Base Specification
 * 2.0, section 5.17, and NVM Command Set Specification 1.0, section 4.1.5).
 *
 * @module
 */
import { NvmeError } from "./error.ts";
import { MAX_TRANSFER, PAGE } from "./queue_shape.ts";

/** How a controller identifies itself. */
export interface Identity {
  /** The model. */
  readonly model: string;
  /** The serial number. */
  readonly serial: string;
  /** The firmware's revision. */
  readonly firmware: string;
  /** The most bytes that a command transfers. */
  readonly maxTransfer: number;
  /** The most namespaces that it can have. */
  readonly namespaces: number;
  /** Whether it takes shadow doorbells. */
  readonly shadowDoorbells: boolean;
}

/** A namespace of a controller: a disk, or a part of one. */
export interface Namespace {
  /** Its number; the first is 1. */
  readonly id: number;
  /** Bytes in a block. */
  readonly blockSize: number;
  /** How many blocks it has. */
  readonly blocks: number;
}

/** How a drive is. */
export interface Health {
  /** What needs attention: bits of the log page's first byte; 0 is well. */
  readonly warnings: number;
  /** In degrees Celsius. */
  readonly temperature: number;
  /** Spare blocks that are left, in percent. */
  readonly spare: number;
  /** Its life that is used up, in percent; it can exceed 100. */
  readonly used: number;
}

/** Decodes what Identify Controller answers. */
export function decodeController(data: Uint8Array): Identity {
  const view = viewOf(data);
  const text = (start: number, end: number) =>
    new TextDecoder().decode(data.subarray(start, end)).trim();
  const exponent = view.getUint8(77);
  return {
    serial: text(4, 24),
    model: text(24, 64),
    firmware: text(64, 72),
    maxTransfer: exponent === 0
      ? MAX_TRANSFER
      : Math.min(MAX_TRANSFER, PAGE * 2 ** exponent),
    shadowDoorbells: (view.getUint16(256, true) & 0x100) !== 0,
    namespaces: view.getUint32(516, true),
  };
}

/**
 * Decodes what Identify Namespace answers.
 *
 * @param device The controller's address, for errors.
 * @param id The namespace's number.
 * @param data The answer.
 * @throws {NvmeError} `UNSUPPORTED` if its blocks have metadata, or a size that
 * makes no sense.
 */
export function decodeNamespace(
  device: string,
  id: number,
  data: Uint8Array,
): Namespace {
  const view = viewOf(data);
  const flags = view.getUint8(26);
  // The number of the format has 6 bits in two places.
  const format = 128 + 4 * (flags & 0xf | (flags >>> 5 & 3) << 4);
  const exponent = view.getUint8(format + 2);
  const metadata = view.getUint16(format, true);
  const blocks = Number(view.getBigUint64(0, true));
  const isKnown = exponent >= 9 && exponent <= 16 && metadata === 0;
  if (!isKnown || !Number.isSafeInteger(blocks * 2 ** exponent)) {
    throw new NvmeError("UNSUPPORTED", {
      device,
      problem: `namespace ${id} has ${blocks} blocks of 2^${exponent} bytes ` +
        `with ${metadata} bytes of metadata`,
    });
  }
  return { id, blocks, blockSize: 2 ** exponent };
}

/** Decodes the list of active namespaces. */
export function decodeList(data: Uint8Array): number[] {
  const view = viewOf(data);
  const ids: number[] = [];
  for (let at = 0; at + 4 <= data.length; at += 4) {
    const id = view.getUint32(at, true);
    if (id === 0) break;
    ids.push(id);
  }
  return ids;
}

/** Decodes the log page about the health. */
export function decodeHealth(data: Uint8Array): Health {
  const view = viewOf(data);
  return {
    warnings: view.getUint8(0),
    temperature: view.getUint16(1, true) - 273,
    spare: view.getUint8(3),
    used: view.getUint8(5),
  };
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}
