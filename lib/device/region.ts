import { toVfioError, VfioError } from "../errors.ts";
import { infoCapabilities, readInfo } from "../../backends/info.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../uapi/linux/mman.ts";
import {
  VFIO_DEVICE_GET_REGION_INFO,
  vfio_region_info,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../uapi/vfio/device.ts";
import {
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_sparse_mmap_area,
} from "../uapi/vfio/region.ts";
import { MappedRegisters } from "./mapped_registers.ts";
import {
  assertAccess,
  assertValue,
  assertValue64,
  type Registers,
} from "./registers.ts";

/** A part of a region, in bytes. */
export interface Area {
  /** Where it begins in the region. */
  readonly offset: number;
  /** How long it is. */
  readonly size: number;
}

/** What a region needs of its device. */
export interface RegionDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** Its descriptor; throws `DETACHED` once it is detached. */
  readonly fd: number;
  /**
   * Has something released at its detach at the latest. The function that it
   * returns is called when that was released before.
   */
  hold(what: string, release: () => void): () => void;
}

/**
 * A region of a device: a BAR, the ROM, config space, or one that its driver
 * adds. Each access is a system call; mapped registers ({@linkcode Region.map})
 * need none.
 */
export class Region implements Registers {
  readonly #device: RegionDevice;
  /** Where the region begins in the device's file. */
  readonly #start: bigint;
  readonly #flags: number;
  #lastOffset = -1;
  /** Where the last access was, in the device's file. */
  #lastPlace = 0n;
  readonly #mapped = new Set<MappedRegisters>();
  readonly #word = new DataView(new ArrayBuffer(8));
  readonly #bytes = [1, 2, 4, 8].map((width) =>
    new Uint8Array(this.#word.buffer, 0, width)
  );
  /** Its number: a BAR's, or another of `VFIO_PCI_*_REGION_INDEX`. */
  readonly index: number;
  /** Bytes in it; 0 where the device has no such region. */
  readonly size: number;
  /** The parts that can be mapped; empty where there are none. */
  readonly mappable: readonly Area[];

  /** Made by `VfioDevice.region`. */
  constructor(device: RegionDevice, index: number) {
    const bytes = readInfo(
      (argument) =>
        device.kernel.ioctl(device.fd, VFIO_DEVICE_GET_REGION_INFO, argument),
      vfio_region_info,
      { index },
    );
    const info = vfio_region_info.decode(bytes);
    this.#device = device;
    this.#start = info.offset;
    this.#flags = info.flags;
    this.index = index;
    this.size = Number(info.size);
    this.mappable = (info.flags & VFIO_REGION_INFO_FLAG_MMAP) === 0
      ? []
      : sparseAreas(bytes, info.cap_offset) ??
        [{ offset: 0, size: this.size }];
  }

  /** Whether it can be read. */
  get readable(): boolean {
    return (this.#flags & VFIO_REGION_INFO_FLAG_READ) !== 0;
  }

  /** Whether it can be written. */
  get writable(): boolean {
    return (this.#flags & VFIO_REGION_INFO_FLAG_WRITE) !== 0;
  }

  /**
   * Reads bytes. The kernel splits this into accesses of up to 4 or 8 bytes; to
   * read a register, use the method of its width.
   *
   * @param offset Where to begin, in bytes.
   * @param into The buffer to fill.
   * @throws {RangeError} If that is not inside the region.
   * @throws {VfioError} `DETACHED`, or `KERNEL` where the kernel refuses it.
   */
  read(offset: number, into: Uint8Array): void {
    assertInside(this.size, offset, into.length);
    this.#transfer("read", offset, into);
  }

  /**
   * Writes bytes. The kernel splits them as for {@linkcode Region.read}.
   *
   * @param offset Where to begin, in bytes.
   * @param from The bytes.
   * @throws {RangeError} If that is not inside the region.
   * @throws {VfioError} `DETACHED`, or `KERNEL` where the kernel refuses it.
   */
  write(offset: number, from: Uint8Array): void {
    assertInside(this.size, offset, from.length);
    this.#transfer("write", offset, from);
  }

  /** Reads 8 bits with one system call. */
  read8(offset: number): number {
    this.#read(offset, 0);
    return this.#word.getUint8(0);
  }

  /** Reads 16 bits with one system call. */
  read16(offset: number): number {
    this.#read(offset, 1);
    return this.#word.getUint16(0, true);
  }

  /** Reads 32 bits with one system call. */
  read32(offset: number): number {
    this.#read(offset, 2);
    return this.#word.getUint32(0, true);
  }

  /** Reads 64 bits; before Linux 6.11 the kernel makes two of 32 of it. */
  read64(offset: number): bigint {
    this.#read(offset, 3);
    return this.#word.getBigUint64(0, true);
  }

  /** Writes 8 bits with one system call. */
  write8(offset: number, value: number): void {
    assertValue(value, 1);
    this.#word.setUint8(0, value);
    this.#write(offset, 0);
  }

  /** Writes 16 bits with one system call. */
  write16(offset: number, value: number): void {
    assertValue(value, 2);
    this.#word.setUint16(0, value, true);
    this.#write(offset, 1);
  }

  /** Writes 32 bits with one system call. */
  write32(offset: number, value: number): void {
    assertValue(value, 4);
    this.#word.setUint32(0, value, true);
    this.#write(offset, 2);
  }

  /** Writes 64 bits; before Linux 6.11 the kernel makes two of 32 of it. */
  write64(offset: number, value: bigint): void {
    assertValue64(value);
    this.#word.setBigUint64(0, value, true);
    this.#write(offset, 3);
  }

  /**
   * Maps registers into this process. They are unmapped with the device's
   * detach at the latest.
   *
   * @param area The part to map, whole pages of one of
   * {@linkcode Region.mappable}. Default: the first of those.
   * @throws {RangeError} If the area cannot be mapped.
   * @throws {VfioError} `NOT_SUPPORTED` if nothing of the region can be mapped,
   * `DETACHED`, or `KERNEL`.
   */
  map(area: Area | undefined = this.mappable[0]): MappedRegisters {
    const { name, kernel, fd } = this.#device;
    if (area === undefined) {
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem: `region ${this.index} cannot be mapped`,
        hint: "access it by the region's own read and write",
      });
    }
    this.#assertMappable(area);
    const protection = (this.readable ? PROT_READ : 0) |
      (this.writable ? PROT_WRITE : 0);
    const start = this.#start + BigInt(area.offset);
    try {
      const mapping = kernel.mmap(
        area.size,
        protection,
        MAP_SHARED,
        fd,
        start,
      );
      const registers = new MappedRegisters(name, mapping, () => {
        kernel.munmap(mapping);
        this.#mapped.delete(registers);
        released();
      });
      const released = this.#device.hold(
        `the registers of region ${this.index}`,
        () => registers.unmap(),
      );
      this.#mapped.add(registers);
      return registers;
    } catch (error) {
      throw toVfioError(error, `map region ${this.index}`, name);
    }
  }

  /** The parts that are mapped. */
  get mapped(): ReadonlySet<MappedRegisters> {
    return this.#mapped;
  }

  #assertMappable({ offset, size }: Area): void {
    const page = this.#device.kernel.pageSize;
    // A region can be smaller than a page: then its end is the area's end.
    const inside = this.mappable.some((part) =>
      part.offset <= offset && offset + size <= part.offset + part.size &&
      (size % page === 0 || offset + size === part.offset + part.size)
    );
    if (inside && size > 0 && offset % page === 0) return;
    throw new RangeError(
      `Cannot map ${size} bytes at offset ${offset} of region ${this.index}: ` +
        "expected whole pages in a mappable area",
    );
  }

  #read(offset: number, widthLog2: number): void {
    assertAccess(this.size, offset, 1 << widthLog2);
    this.#transfer("read", offset, this.#bytes[widthLog2]!);
  }

  #write(offset: number, widthLog2: number): void {
    assertAccess(this.size, offset, 1 << widthLog2);
    this.#transfer("write", offset, this.#bytes[widthLog2]!);
  }

  #transfer(verb: "read" | "write", offset: number, bytes: Uint8Array): void {
    const { kernel, fd } = this.#device;
    // A driver accesses few registers often: their places are not made anew.
    if (offset !== this.#lastOffset) {
      this.#lastOffset = offset;
      this.#lastPlace = this.#start + BigInt(offset);
    }
    let done: number;
    try {
      done = verb === "read"
        ? kernel.pread(fd, bytes, this.#lastPlace)
        : kernel.pwrite(fd, bytes, this.#lastPlace);
    } catch (error) {
      throw toVfioError(
        error,
        `${verb} region ${this.index}`,
        this.#device.name,
      );
    }
    if (done === bytes.length) return;
    throw new VfioError("KERNEL", {
      device: this.#device.name,
      problem: `cannot ${verb} region ${this.index}: only ${done} of ` +
        `${bytes.length} bytes at offset ${offset} were transferred`,
    });
  }
}

function assertInside(size: number, offset: number, length: number): void {
  if (
    Number.isSafeInteger(offset) && offset >= 0 && offset + length <= size
  ) return;
  throw new RangeError(
    `Cannot access ${length} bytes at offset ${offset}: expected them inside ` +
      `${size} bytes`,
  );
}

/** The parts that may be mapped, where the kernel restricts them. */
function sparseAreas(bytes: Uint8Array, first: number): Area[] | undefined {
  const layout = vfio_region_info_cap_sparse_mmap;
  for (const { id, at } of infoCapabilities(bytes, first)) {
    if (id !== VFIO_REGION_INFO_CAP_SPARSE_MMAP) continue;
    const { nr_areas } = layout.decode(bytes, at);
    return vfio_region_sparse_mmap_area
      .decodeArray(bytes, nr_areas, at + layout.offset.areas)
      .map(({ offset, size }) => ({
        offset: Number(offset),
        size: Number(size),
      }));
  }
  return undefined;
}
