import { VfioError } from "../errors.ts";
import { type Field, type FieldType, makeField } from "./fields.ts";

/** The fields of a ring's structs, by name. */
export type FieldTypes = Readonly<Record<string, FieldType>>;

/** What a ring lies in: DMA memory, a slice of it, or a Worker's view of it. */
export interface RingMemory {
  /** Bytes. */
  readonly size: number;
  /** Where devices see it. */
  readonly iova: bigint;
  /** All of it as bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The shape of a ring. */
export interface RingShape<T extends FieldTypes> {
  /** How many structs there are. Default: as many as fit. */
  readonly entries?: number;
  /** Bytes in a struct, a multiple of 4. */
  readonly size: number;
  /** The fields of a struct. */
  readonly fields: T;
}

/**
 * Structs in a row in DMA memory, which a device and this process use by turns:
 * descriptors, commands, completions. Access to them allocates nothing.
 *
 * The fields are for code that is to be read. `words` is for the few lines of a
 * driver that run millions of times a second: constants as offsets, and the
 * indexes in local variables. Neither knows whose turn it is: that is the
 * device's protocol, and the order of accesses is `publish`'s and `acquire`'s.
 *
 * @example Descriptors of a network card
 * ```ts
 * import { AddressSpace } from "@passthru/vfio";
 * import { publish, Ring, u16, u32, u64 } from "@passthru/vfio/rings";
 *
 * await using space = new AddressSpace();
 * const memory = space.allocate(4096);
 * const ring = new Ring(memory, {
 *   size: 16,
 *   fields: { address: u64(0), length: u16(8), status: u32(12) },
 * });
 * const { address, length, status } = ring.fields;
 * const buffers = space.allocate(2 ** 20);
 * address.set(0, Number(buffers.slice(0, 2048).iova));
 * length.set(0, 2048);
 * publish();
 * // Then the doorbell. The device has finished when
 * console.log((status.get(0) & 1) !== 0);
 * ```
 */
export class Ring<T extends FieldTypes> {
  readonly #memory: RingMemory;
  /** Where the device sees its first struct, in bytes. */
  readonly iova: bigint;
  /** How many structs there are. */
  readonly entries: number;
  /** Bytes in a struct. */
  readonly size: number;
  /** The fields of a struct, by name. */
  readonly fields: { readonly [K in keyof T]: Field };
  /** All of it as words of 32 bits, as they lie in memory. */
  readonly words: Int32Array<ArrayBuffer>;

  /**
   * Lays structs over memory. What is in the memory stays.
   *
   * @param memory The memory.
   * @param shape How many structs of how many bytes, with which fields.
   * @throws {RangeError} If they do not fit in, or a field not in a struct.
   * @throws {VfioError} `DETACHED` if the memory was freed.
   */
  constructor(memory: RingMemory, shape: RingShape<T>) {
    const { size, fields } = shape;
    const { entries = Math.floor(memory.size / size) } = shape;
    if (
      !(Number.isInteger(size) && size > 0 && size % 4 === 0) ||
      !(Number.isInteger(entries) && entries > 0) ||
      entries * size > memory.size
    ) {
      throw new RangeError(
        `Cannot lay ${entries} structs of ${size} bytes over ${memory.size} ` +
          "bytes: expected sizes in words of 4 bytes that fit in",
      );
    }
    this.#memory = memory;
    this.iova = memory.iova;
    this.entries = entries;
    this.size = size;
    const { buffer, byteOffset } = memory.bytes;
    const place = {
      ...{ buffer, byteOffset, size, entries },
      refuse: (slot: number) => this.#refuse(slot),
    };
    this.words = new Int32Array(buffer, byteOffset, entries * size / 4);
    this.fields = Object.fromEntries(
      Object.entries(fields).map(([name, type]) => [
        name,
        makeField(place, type),
      ]),
    ) as { readonly [K in keyof T]: Field };
  }

  /**
   * Sets every byte to 0. The device must not use it meanwhile.
   *
   * @throws {VfioError} `DETACHED` if the memory was freed.
   */
  clear(): void {
    if (this.words.length === 0) this.#refuse(0);
    this.words.fill(0);
  }

  #refuse(slot: number): never {
    // Throws where the memory was freed.
    const { length } = this.#memory.bytes;
    if (length > 0 && this.words.length === 0) {
      throw new VfioError("DETACHED", {
        problem: "the memory of the ring is in use elsewhere",
        hint: "use it where its buffer was transferred to",
      });
    }
    throw new RangeError(
      `Cannot access struct ${slot} of a ring: there are ${this.entries}`,
    );
  }
}
