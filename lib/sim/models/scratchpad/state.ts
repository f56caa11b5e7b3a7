/**
 * The state of a {@linkcode scratchpad} as bytes: records of a word, and what
 * it announces. The word is the number of a page of the memory, or one of those
 * for all registers and for the end.
 *
 * @module
 */

import { refuse } from "../../process/refusal.ts";
import type { LoadedData } from "../migration.ts";

/** The memory is saved by pages of so many bytes. */
export const PAGE = 4096;
/** The record of the registers that a state begins with. */
export const REGISTERS = 0x7265_6773;
/** The record that a state ends with, without more. */
export const END = 0x0a64_6e65;
/** Bytes of the registers. */
const REGISTERS_SIZE = 0x20;
const WORD = 4;
const PAGES = 15;

/** The most bytes of a state of which nothing changes. */
export const STATE_SIZE = PAGES * (WORD + PAGE) + WORD + REGISTERS_SIZE + WORD;

/** What a scratchpad has. */
export interface Scratchpad {
  /** Its memory. */
  readonly memory: Uint8Array;
  /** Its registers. */
  readonly registers: DataView;
}

/** Makes the record of the registers. */
export function registersRecord({ registers }: Scratchpad): Uint8Array {
  const { buffer } = registers;
  return record(REGISTERS, new Uint8Array(buffer, 0, REGISTERS_SIZE));
}

/** Makes the record of a page. */
export function pageRecord({ memory }: Scratchpad, page: number): Uint8Array {
  return record(page, memory.subarray(page * PAGE, (page + 1) * PAGE));
}

/** Makes the record of the end. */
export function endRecord(): Uint8Array {
  return record(END, new Uint8Array());
}

function record(word: number, bytes: Uint8Array): Uint8Array {
  const record = new Uint8Array(WORD + bytes.length);
  new DataView(record.buffer).setUint32(0, word, true);
  record.set(bytes, WORD);
  return record;
}

/** Loads a state. EINVAL for one that is damaged or too short. */
export class LoadedScratchpad implements LoadedData {
  readonly #state: Scratchpad;
  readonly #bytes: number[] = [];

  /** @param state What it is loaded into. */
  constructor(state: Scratchpad) {
    this.#state = state;
  }

  write(from: Uint8Array): number {
    this.#bytes.push(...from);
    if (this.#bytes.length >= WORD && this.#wordAt(0) !== REGISTERS) {
      refuse("EINVAL");
    }
    return from.length;
  }

  finish(): void {
    const { memory, registers } = this.#state;
    const pages = new Map<number, readonly number[]>();
    let set: readonly number[] = [];
    for (let at = 0;;) {
      const word = this.#wordAt(at);
      at += WORD;
      if (word === END) break;
      if (word !== REGISTERS && word >= PAGES) refuse("EINVAL");
      const size = word === REGISTERS ? REGISTERS_SIZE : PAGE;
      const bytes = this.#bytes.slice(at, at + size);
      if (bytes.length < size) refuse("EINVAL");
      if (word === REGISTERS) set = bytes;
      else pages.set(word, bytes);
      at += size;
    }
    memory.fill(0);
    for (const [page, bytes] of pages) memory.set(bytes, page * PAGE);
    new Uint8Array(registers.buffer).set(set);
  }

  #wordAt(at: number): number {
    const bytes = this.#bytes.slice(at, at + WORD);
    if (bytes.length < WORD) refuse("EINVAL");
    return bytes.reduceRight((word, byte) => word * 256 + byte, 0);
  }
}
