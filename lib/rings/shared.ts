/**
 * Memory and registers of a device that another Worker has attached. A Worker is
 * an isolate of its own: objects are not shared, and a `SharedArrayBuffer` is
 * never DMA memory. What is shared is the process's memory, by its addresses,
 * which can be posted.
 *
 * Nothing here knows when the memory is freed, the registers are unmapped or the
 * device is reset: an access after that ends the process. So end the Workers
 * first. It needs the permission for FFI, as everything does that has addresses.
 *
 * @module
 */
import type { DmaMemory, DmaSlice } from "../dma/memory.ts";
import type { MappedRegisters } from "../device/regions/mapped_registers.ts";

/** Where memory is, as it is posted to a Worker. */
export interface MemoryPlace {
  /** Where the process sees it. */
  readonly address: bigint;
  /** Where the devices see it. */
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
}

/** Where registers are, as they are posted to a Worker. */
export type RegistersPlace = Omit<MemoryPlace, "iova">;

/**
 * Says where DMA memory is.
 *
 * @param memory The memory, which is to be freed after the Worker has ended.
 * @throws {VfioError} `DETACHED` if it was freed.
 */
export function memoryPlace(memory: DmaMemory | DmaSlice): MemoryPlace {
  const { iova, size } = memory;
  const address = "memory" in memory
    ? memory.memory.address + BigInt(memory.offset)
    : memory.address;
  return { address, iova, size };
}

/**
 * Says where registers are.
 *
 * @param registers The registers, which are to be unmapped after the Worker has
 * ended.
 * @throws {VfioError} `DETACHED` if they are not mapped.
 */
export function registersPlace(registers: MappedRegisters): RegistersPlace {
  return { address: registers.unsafeAddress, size: registers.size };
}

/**
 * DMA memory that another Worker has allocated. A `Ring` lies over it as over
 * one's own.
 *
 * @example A Worker that fills a ring
 * ```ts ignore
 * import { Ring, SharedMemory, u32, u64 } from "@passthru/vfio/rings";
 *
 * // Posted by: worker.postMessage(memoryPlace(memory))
 * self.onmessage = ({ data }) => {
 *   const ring = new Ring(new SharedMemory(data), {
 *     size: 16,
 *     fields: { address: u64(0), length: u32(8) },
 *   });
 *   ring.fields.length.set(0, 2048);
 * };
 * ```
 */
export class SharedMemory {
  /** Where devices see it. */
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
  /** The memory itself. */
  readonly buffer: ArrayBuffer;

  /**
   * Makes a view of it.
   *
   * @param place Where it is.
   * @throws {TypeError} If that is nowhere.
   */
  constructor({ address, iova, size }: MemoryPlace) {
    this.iova = iova;
    this.size = size;
    this.buffer = viewOf(address, size);
  }

  /** All of it as bytes. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer);
  }
}

/** Registers that another Worker has mapped, for doorbells. */
export class SharedRegisters {
  readonly #words: Uint32Array;

  /**
   * Makes a view of them.
   *
   * @param place Where they are.
   * @throws {TypeError} If that is nowhere.
   */
  constructor({ address, size }: RegistersPlace) {
    this.#words = new Uint32Array(viewOf(address, size));
  }

  /**
   * Writes 32 bits with one store.
   *
   * @param offset Where, in bytes.
   * @param value The bits.
   * @throws {RangeError} If it is not inside, or not aligned.
   */
  write32(offset: number, value: number): void {
    if (!(offset / 4 < this.#words.length && offset >= 0 && offset % 4 === 0)) {
      throw new RangeError(
        `Cannot access 4 bytes at offset ${offset}: expected a multiple of 4 ` +
          `inside ${this.#words.byteLength} bytes`,
      );
    }
    this.#words[offset / 4] = value;
  }
}

function viewOf(address: bigint, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null || !Number.isSafeInteger(size) || size <= 0) {
    throw new TypeError(
      `Cannot use ${size} bytes at address ${address}: expected what was posted`,
    );
  }
  return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
}
