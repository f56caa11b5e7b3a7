import type { FileRange } from "../../backends/backend.ts";
import { ignoreErrors, insist } from "../../backends/teardown.ts";
import { toVfioError } from "../errors.ts";
import { hasErrno } from "../kernel/errno.ts";
import { Fd } from "../kernel/fd.ts";
import type { Kernel, Mapping } from "../kernel/kernel.ts";
import { F_DUPFD_CLOEXEC } from "../uapi/linux/fcntl.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../uapi/linux/mman.ts";
import {
  type MapOptions,
  MAPPED,
  type MappedMemory,
  type TrackedMemory,
} from "./mapping.ts";

/** A file in memory, or a dma-buf: a descriptor, or what has one. */
export type MemorySource = number | { readonly number: number };

/** Of dma-bufs, what has a function called when their memory is taken back. */
const revocations = new WeakMap<object, (tell: () => void) => () => void>();

/**
 * Says how it is known that the memory of a dma-buf is taken back.
 *
 * @param dmaBuf The dma-buf.
 * @param watch Has a function called at the next time, and returns what ends
 * that.
 */
export function tellRevocation(
  dmaBuf: object,
  watch: (tell: () => void) => () => void,
): void {
  revocations.set(dmaBuf, watch);
}

/** Which memory of a file is mapped, and where. */
export interface MapFileOptions extends MapOptions {
  /**
   * Where it begins in the file, in bytes.
   *
   * @default {0}
   */
  readonly offset?: number;
  /** How many bytes, whole pages. */
  readonly size: number;
}

/**
 * Memory of a file, mapped for devices. It has the file open, and mapped into
 * this process where a container needs that, until it is unmapped.
 */
export class FileMemory implements MappedMemory, TrackedMemory {
  readonly #kernel: Kernel;
  readonly #fd: Fd;
  readonly #writable: boolean;
  #seen: Mapping | undefined;
  #revoked = false;
  #unwatch: (() => void) | undefined;
  /** How many mappings it has. */
  #mappings = 0;
  /** The memory in the file. */
  readonly file: FileRange;
  /** Bytes. */
  readonly size: number;

  /**
   * Opens the file once more, so that the caller can close it.
   *
   * @param kernel The system.
   * @param source The file.
   * @param options Which memory of it.
   */
  constructor(kernel: Kernel, source: MemorySource, options: MapFileOptions) {
    const { offset = 0, size, writable = true } = options;
    assertPart(kernel.pageSize, offset, size);
    this.#kernel = kernel;
    this.#writable = writable;
    this.size = size;
    const number = typeof source === "number" ? source : source.number;
    try {
      this.#fd = Fd.adopt(kernel, kernel.fcntl(number, F_DUPFD_CLOEXEC));
    } catch (error) {
      throw toVfioError(error, "open the file again");
    }
    this.file = { fd: this.#fd.number, offset };
    if (typeof source === "number") return;
    this.#unwatch = revocations.get(source)?.(() => {
      this.#revoked = true;
    });
  }

  /** Whether its device has taken the memory back. */
  get revoked(): boolean {
    return this.#revoked;
  }

  /**
   * Where this process sees it. It is mapped when that is asked first; 0 for a
   * dma-buf of registers, which cannot be.
   */
  get address(): bigint {
    try {
      this.#seen ??= this.#kernel.mmap(
        this.size,
        this.#writable ? PROT_READ | PROT_WRITE : PROT_READ,
        MAP_SHARED,
        this.#fd.number,
        BigInt(this.file.offset),
      );
      return this.#seen.address;
    } catch (error) {
      if (hasErrno(error, "ENODEV", "EINVAL")) return 0n;
      throw toVfioError(error, `map ${this.size} bytes of a file`);
    }
  }

  /** @ignore */
  [MAPPED](): void {
    this.#mappings++;
  }

  /** Closes the file, when no device sees the memory any more. */
  forget(): void {
    if (--this.#mappings > 0) return;
    const seen = this.#seen;
    this.#seen = undefined;
    this.#unwatch?.();
    // Linux refuses it only when it lacks memory, which passes.
    if (seen !== undefined) insist(() => this.#kernel.munmap(seen));
    ignoreErrors(() => this.#fd.close());
  }
}

function assertPart(page: number, offset: number, size: number): void {
  const isWhole = (bytes: number) =>
    Number.isSafeInteger(bytes) && bytes >= 0 && bytes % page === 0;
  if (isWhole(offset) && isWhole(size) && size > 0) return;
  throw new RangeError(
    `Cannot map ${size} bytes of a file at ${offset}: expected multiples of ` +
      `${page}`,
  );
}
