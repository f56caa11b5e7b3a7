/**
 * Reading and writing in a child process.
 *
 * While a read or a write of an attribute is stuck in the kernel, no signal
 * ends the process that makes it, and a process ends only with its last thread.
 * A thread that got stuck would therefore keep this process from ending. A
 * child process can be stuck without that.
 *
 * The child is a fork that has nothing open but the attribute. Mappings of
 * devices are not in it, since `LibcKernel.mmap` excludes them (`MADV_DONTFORK`):
 * they would keep the devices open.
 *
 * @module
 */

import {
  type Bytes,
  bytes,
  type I64,
  i64,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../../uapi/layout.ts";
import { SYS_read, SYS_write } from "../../uapi/linux/syscall.ts";
import type { BlockingCalls } from "./blocking.ts";
import type { MachineCode } from "./code.ts";
import { lazily } from "./library.ts";
import { NativeMemory } from "./memory.ts";

const scheduling = lazily({
  sched_yield: { parameters: [], result: "i32" },
});

/** What the child's routine reads and writes (`code.ts`). */
const child_call: Struct<{
  number: U64;
  fd: I64;
  buffer: U64;
  length: U64;
  result: I64;
  alone: U32;
  signals: U64;
  name: Bytes;
}> = struct("child_call", {
  /** The number of the system call. */
  number: u64,
  /** The descriptor that it is made on. */
  fd: i64,
  /** The address of the memory that is read into or written from. */
  buffer: u64,
  /** How much of it, in bytes. */
  length: u64,
  /** What the kernel returned. */
  result: i64,
  /** 1 once the child has nothing open but the descriptor. */
  alone: u32,
  /** The signals that the child blocks. */
  signals: u64,
  /** What `ps` shows. */
  name: bytes(16),
});

/** No signal is handled by the child. */
const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;

/** What `ps` shows, so that an administrator sees what hangs. */
const NAME = new TextEncoder().encode("passthru-write".padEnd(16, "\0"));

/** What `result` stays at when the child is killed before the call ends. */
const KILLED = -4n; // EINTR

/** How often another process may run before the child has; it can be killed. */
const MAX_TURNS = 1_000_000;

/** `fork` into a child that makes one call. */
const FORK = {
  parameters: [
    "pointer", // struct child_call *call
  ],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

/** Makes a read or a write in a child process. */
export class ChildCalls {
  readonly #blocking: BlockingCalls;
  readonly #fork: Deno.UnsafeFnPointer<typeof FORK>;

  /**
   * @param code The routine that forks.
   * @param blocking Waits for the child.
   */
  constructor({ child }: MachineCode, blocking: BlockingCalls) {
    this.#blocking = blocking;
    this.#fork = new Deno.UnsafeFnPointer(child, FORK);
  }

  /**
   * Reads a descriptor with one read, which gives all of an attribute.
   *
   * @param fd The descriptor.
   * @param into The buffer to fill.
   * @returns The bytes read, or the negative errno.
   */
  async read(fd: number, into: Uint8Array): Promise<number> {
    using shared = new NativeMemory(child_call.size + into.length);
    const count = await this.#call(SYS_read, fd, shared);
    const { size } = child_call;
    if (count > 0) into.set(shared.bytes.subarray(size, size + count));
    return count;
  }

  /**
   * Writes to a descriptor with one write.
   *
   * @param fd The descriptor.
   * @param from What is written.
   * @returns The bytes written, or the negative errno.
   */
  async write(fd: number, from: Uint8Array): Promise<number> {
    using shared = new NativeMemory(child_call.size + from.length);
    shared.bytes.set(from, child_call.size);
    return await this.#call(SYS_write, fd, shared);
  }

  /** @param shared A `child_call`, and the data. */
  async #call(
    number: number,
    fd: number,
    { bytes: call, address, pointer }: NativeMemory,
  ): Promise<number> {
    child_call.encode(call, {
      number: BigInt(number),
      fd: BigInt(fd),
      buffer: address + BigInt(child_call.size),
      length: BigInt(call.length - child_call.size),
      result: KILLED,
      signals: ALL_SIGNALS,
      name: NAME,
    });
    const pid = this.#fork.call(pointer);
    if (pid < 0) return pid;
    this.#awaitAlone(call);
    await this.#blocking.wait(pid);
    return Number(child_call.decode(call).result);
  }

  // Until then the child has a copy of every descriptor of this process, and
  // closing one here would not be its last close.
  #awaitAlone(call: Uint8Array): void {
    const { sched_yield } = scheduling();
    const view = new DataView(call.buffer);
    const { alone } = child_call.offset;
    for (let turns = 0; turns < MAX_TURNS; turns++) {
      if (view.getUint32(alone, true) !== 0) return;
      sched_yield();
    }
  }
}
