import { MFD_CLOEXEC } from "../../uapi/linux/memfd.ts";
import {
  MADV_DONTFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MPOL_BIND,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/linux/mman.ts";
import { SYS_mbind } from "../../uapi/linux/syscall.ts";
import type { Mapping } from "../kernel.ts";
import { cPath, errno, fail, lazily, pinned } from "./library.ts";
import { LibcTree } from "./tree.ts";

export const memory = lazily({
  mmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "pointer",
  },
  munmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
    ],
    result: "i32",
  },
  madvise: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int advice
    ],
    result: "i32",
  },
});

const pages = lazily({
  getpagesize: { parameters: [], result: "i32" },
});

const memoryFiles = lazily({
  memfd_create: {
    parameters: [
      "buffer", // const char *name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  ftruncate: {
    parameters: [
      "i32", // int fd
      "i64", // off_t length
    ],
    result: "i32",
  },
});

// glibc has no function of its own for it.
const nodes = lazily({
  syscall: {
    parameters: [
      "i64", // long number
      "usize", // unsigned long addr
      "usize", // unsigned long len
      "i64", // int mode
      "buffer", // const unsigned long *nodemask
      "usize", // unsigned long maxnode
      "usize", // unsigned int flags
    ],
    result: "i64",
  },
});

/** How many NUMA nodes a mask has room for. */
const MAX_NODES = 1024;

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

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
    const failure = errno[0]!;
    this.address = BigInt(Deno.UnsafePointer.value(this.pointer));
    if (this.address === MAP_FAILED) fail(failure, "mmap");
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

/** Mapping memory, and files in memory. */
export class LibcMemory extends LibcTree {
  /** Buffers that were detached here, not transferred by others. */
  readonly #emptied = new WeakSet<ArrayBuffer>();
  #lazyPageSize: number | undefined;

  get pageSize(): number {
    return this.#lazyPageSize ??= pages().getpagesize();
  }

  mmap(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment = 1,
  ): Mapping {
    const address = alignment <= this.pageSize
      ? this.#mmap(0n, BigInt(length), protection, flags, fd, offset)
      : this.#mmapAligned(length, protection, flags, fd, offset, alignment);
    if (fd >= 0) this.#keepFromChildren(address, length);
    const pointer = Deno.UnsafePointer.create(address)!;
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, length);
    return { address, length, buffer };
  }

  /** Excludes a mapping from forks: a child would keep its file open. */
  #keepFromChildren(address: bigint, length: number): void {
    try {
      this.madvise(address, length, MADV_DONTFORK);
    } catch (error) {
      memory().munmap(address, BigInt(length));
      throw error;
    }
  }

  #mmap(
    at: bigint,
    length: bigint,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): bigint {
    const pointer = memory().mmap(at, length, protection, flags, fd, offset);
    const failure = errno[0]!;
    const address = BigInt(Deno.UnsafePointer.value(pointer));
    return address === MAP_FAILED ? fail(failure, "mmap") : address;
  }

  /** Reserves more than is needed, and takes the aligned part of it. */
  #mmapAligned(
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment: number,
  ): bigint {
    const step = BigInt(alignment);
    const used = BigInt(Math.ceil(length / this.pageSize) * this.pageSize);
    const size = used + step;
    const reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const start = this.#mmap(0n, size, PROT_NONE, reserve, -1, 0n);
    const address = (start + step - 1n) / step * step;
    const { munmap } = memory();
    try {
      this.#mmap(address, used, protection, flags | MAP_FIXED, fd, offset);
    } catch (error) {
      munmap(start, size);
      throw error;
    }
    const before = address - start;
    const after = size - before - used;
    if (before > 0n) munmap(start, before);
    if (after > 0n) munmap(address + used, after);
    return address;
  }

  munmap({ buffer, address, length }: Mapping): void {
    // Whoever has it was given the memory, and may still use it.
    if (buffer.detached && !this.#emptied.has(buffer)) return;
    // Detaches every view of the buffer, without freeing or copying: a read
    // through a view of unmapped memory would end the process.
    if (!buffer.detached) buffer.transfer(0);
    this.#emptied.add(buffer);
    if (memory().munmap(address, BigInt(length)) < 0) {
      fail(errno[0]!, "munmap");
    }
  }

  madvise(address: bigint, length: number, advice: number): void {
    if (memory().madvise(address, BigInt(length), advice) < 0) {
      fail(errno[0]!, "madvise");
    }
  }

  mbind(address: bigint, length: number, node: number): void {
    const mask = new Uint8Array(MAX_NODES / 8);
    mask[node >> 3] = 1 << node % 8;
    const result = nodes().syscall(
      BigInt(SYS_mbind),
      address,
      BigInt(length),
      BigInt(MPOL_BIND),
      mask,
      BigInt(MAX_NODES),
      0n,
    );
    if (result < 0) fail(errno[0]!, "mbind");
  }

  addressOf(buffer: Uint8Array): bigint {
    return BigInt(
      Deno.UnsafePointer.value(Deno.UnsafePointer.of(pinned(buffer))),
    );
  }

  memfd(name: string, flags: number): number {
    const all = flags | MFD_CLOEXEC;
    const fd = memoryFiles().memfd_create(cPath(name), all);
    return fd < 0 ? fail(errno[0]!, "memfd_create") : fd;
  }

  ftruncate(fd: number, length: bigint): void {
    if (memoryFiles().ftruncate(fd, length) < 0) fail(errno[0]!, "ftruncate");
  }
}
