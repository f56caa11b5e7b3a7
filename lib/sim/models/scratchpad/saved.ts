import type { SavedData } from "../migration.ts";
import {
  endRecord,
  PAGE,
  pageRecord,
  registersRecord,
  type Scratchpad,
} from "./state.ts";

/** Saves a scratchpad, while it changes. */
export class SavedScratchpad implements SavedData {
  readonly #state: Scratchpad;
  /** What is left of the record that is being read. */
  #record: Uint8Array = new Uint8Array();
  #readsInitial = false;
  /** The records to be read after it. */
  readonly #initial: Uint8Array[];
  readonly #other: Uint8Array[] = [];
  /** The pages that are not in there, or have changed since. */
  readonly #dirty = new Set<number>();
  #reinitialized = false;
  #ended = false;

  /** @param state What is saved. */
  constructor(state: Scratchpad) {
    this.#state = state;
    this.#initial = [registersRecord(state)];
    const { buffer, byteOffset, length } = state.memory;
    for (let at = 0; at < length; at += PAGE) {
      const page = new Uint32Array(buffer, byteOffset + at, PAGE / 4);
      if (page.some((word) => word !== 0)) this.#dirty.add(at / PAGE);
    }
  }

  get initial(): number {
    const rest = this.#readsInitial ? this.#record.length : 0;
    return sizeOf(this.#initial) + rest;
  }

  get dirty(): number {
    const rest = this.#readsInitial ? 0 : this.#record.length;
    return sizeOf(this.#other) + rest + this.#dirty.size * PAGE;
  }

  takeReinitialized(): boolean {
    const taken = this.#reinitialized;
    this.#reinitialized = false;
    return taken;
  }

  /** Notes that a page was written. */
  wrote(page: number): void {
    this.#dirty.add(page);
  }

  /** Notes that its settings have changed. */
  set(): void {
    if (this.#ended) return;
    this.#initial.push(registersRecord(this.#state));
    this.#reinitialized = true;
  }

  read(into: Uint8Array): number {
    if (this.#record.length === 0) this.#record = this.#next();
    const bytes = this.#record.subarray(0, into.length);
    into.set(bytes);
    this.#record = this.#record.subarray(bytes.length);
    return bytes.length;
  }

  /** Takes the next record; an empty one where there is none. */
  #next(): Uint8Array {
    const initial = this.#initial.shift();
    this.#readsInitial = initial !== undefined;
    if (initial !== undefined) return initial;
    if (this.#other.length === 0) this.#addDirty();
    return this.#other.shift() ?? new Uint8Array();
  }

  stop(): void {
    this.#addDirty();
    this.#other.push(registersRecord(this.#state), endRecord());
  }

  end(): void {
    this.#ended = true;
  }

  #addDirty(): void {
    for (const page of this.#dirty) {
      this.#other.push(pageRecord(this.#state, page));
    }
    this.#dirty.clear();
  }
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((size, { length }) => size + length, 0);
}
