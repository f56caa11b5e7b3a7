import type { Mapping } from "../../../kernel/kernel.ts";
import { MFD_HUGETLB } from "../../../uapi/linux/memfd.ts";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../../../uapi/linux/mman.ts";
import { hugePageSize } from "../huge_pages.ts";
import { Pages } from "../memory.ts";
import { MemoryFile } from "../memory_file.ts";
import { refuse } from "../refusal.ts";
import { call } from "../system_call.ts";
import { SimTree } from "./tree.ts";

/** Mapping memory, and files in memory. */
export class SimMemory extends SimTree {
  readonly pageSize = 4096;

  mmap(
    length: number,
    _protection: number,
    flags: number,
    fd: number,
    offset: bigint,
    alignment = 1,
  ): Mapping {
    return call("mmap", undefined, () => {
      if (length <= 0) refuse("EINVAL");
      if ((flags & MAP_ANONYMOUS) !== 0) {
        const { hugePages, physical } = this.system;
        const release = (flags & MAP_HUGETLB) === 0
          ? () => {}
          : hugePages.take(length, flags);
        const bytes = new Uint8Array(pagesUp(length));
        const unit = (flags & MAP_HUGETLB) === 0
          ? this.pageSize
          : hugePageSize(flags);
        const pages = new Pages(bytes, undefined, unit);
        return this.memory.map(pages, () => {
          physical.forget(pages);
          release();
        }, alignment);
      }
      const description = this.descriptors.get(fd);
      const { file } = description;
      const release = () => description.release();
      if (file.pages !== undefined) {
        const { pages } = file;
        description.hold();
        const start = Number(offset);
        return this.memory.mapPart({ pages, start, length }, release);
      }
      const pages = file.mmap?.(length, offset) ?? refuse("ENODEV");
      description.hold();
      return this.memory.map(pages, release, alignment);
    });
  }

  munmap(mapping: Mapping): void {
    call("munmap", undefined, () => this.memory.unmap(mapping));
  }

  madvise(address: bigint, length: number, _advice: number): void {
    call("madvise", undefined, () => {
      if (address % BigInt(this.pageSize) !== 0n) refuse("EINVAL");
      if (this.memory.slice(address, length) === undefined) refuse("ENOMEM");
    });
  }

  // The machine has the memory of one node.
  mbind(address: bigint, length: number, node: number): void {
    call("mbind", undefined, () => {
      if (address % BigInt(this.pageSize) !== 0n) refuse("EINVAL");
      if (node !== 0) refuse("EINVAL");
      if (this.memory.slice(address, length) === undefined) refuse("EFAULT");
    });
  }

  addressOf(buffer: Uint8Array): bigint {
    return this.memory.addressOf(buffer);
  }

  memfd(name: string, flags: number): number {
    return call("memfd_create", undefined, () => {
      if ((flags & MFD_HUGETLB) !== 0) refuse("EINVAL");
      return this.install(new MemoryFile(name));
    });
  }

  ftruncate(fd: number, length: bigint): void {
    call("ftruncate", undefined, () => {
      const file = this.descriptors.toWrite(fd);
      if (file.truncate === undefined || length < 0n) return refuse("EINVAL");
      file.truncate(Number(length));
    });
  }
}

function pagesUp(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}
