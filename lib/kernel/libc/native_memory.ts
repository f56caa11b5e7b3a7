import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/linux/mman.ts";
import { memory } from "./memory.ts";

/**
 * Memory that a child process shares, or that outlives V8: a thread of ours
 * uses it until the process ends, and V8 ends before.
 */
export class NativeMemory implements Disposable {
  /** Where it is. */
  readonly pointer: Deno.PointerObject;
  /** The same, as a number. */
  readonly address: bigint;
  /** All of it. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** @param length How much, in bytes. */
  constructor(length: number) {
    this.pointer = memory().mmap(
      0n,
      BigInt(length),
      PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_ANONYMOUS,
      -1,
      0n,
    )!;
    this.address = BigInt(Deno.UnsafePointer.value(this.pointer));
    this.bytes = new Uint8Array(
      Deno.UnsafePointerView.getArrayBuffer(this.pointer, length),
    );
  }

  /** Gives it back. */
  [Symbol.dispose](): void {
    const { buffer, length } = this.bytes;
    buffer.transfer(0);
    memory().munmap(this.address, BigInt(length));
  }
}
