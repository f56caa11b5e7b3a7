import { toVfioError, VfioError } from "../../errors.ts";
import type { WaitOptions } from "../../host/driver/deadline.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../../uapi/linux/mman.ts";
import { VFIO_PCI_ROM_REGION_INDEX } from "../../uapi/vfio/pci.ts";
import type { DeviceApi } from "../info/device_info.ts";
import {
  type Area,
  readRegionInfo,
  type RegionInfo,
} from "../info/region_info.ts";
import { regionName, type RegionType } from "../info/region_type.ts";
import { IoEventFd, type IoEventFdOptions } from "./io_eventfd.ts";
import { MappedRegisters } from "./mapped_registers.ts";
import { tellRevocation } from "../../dma/file_memory.ts";
import type { RegisterGate } from "./register_gate.ts";
import {
  assertAccess,
  assertValue,
  assertValue64,
  type Registers,
} from "./registers.ts";
import { until32 } from "./until.ts";

/** What a region needs of its device. */
export interface RegionDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** Its descriptor; throws `DETACHED` once it is detached. */
  readonly fd: number;
  /** Returns whether it still answers. */
  isPresent(): boolean;
  /** Closes its mapped registers while they cannot be accessed. */
  readonly gate: RegisterGate;
  /**
   * Has something released at its detach at the latest. The function that it
   * returns is called when that was released before.
   */
  hold(what: string, release: () => void): () => void;
}

export type { Area };

/**
 * A region of a device: a BAR, the ROM, config space, or one that its driver
 * adds. Each access is a system call; mapped registers ({@linkcode Region.map})
 * need none.
 */
export class Region implements Registers {
  readonly #device: RegionDevice;
  readonly #info: RegionInfo;
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

  /** Made by `VfioDevice.region`. */
  constructor(device: RegionDevice, index: number, api?: DeviceApi) {
    this.#device = device;
    this.#info = readRegionInfo(
      (operation, argument) =>
        device.kernel.ioctl(device.fd, operation, argument),
      index,
    );
    this.index = index;
    this.name = regionName(api, index, this.type);
  }

  /**
   * Its name for people: `"BAR 0"`, `"ROM"`, `"config"`, `"VGA"`, that of its
   * type (`"intel-opregion"`), or `"region 9"`.
   */
  readonly name: string;

  /** Bytes in it; 0 where the device has no such region. */
  get size(): number {
    return this.#info.size;
  }

  /** The parts that can be mapped; empty where there are none. */
  get mappable(): readonly Area[] {
    return this.#info.mappable;
  }

  /** What it is, where the device's driver adds it to the fixed ones. */
  get type(): RegionType | undefined {
    return this.#info.type;
  }

  /**
   * Whether all of it can be mapped although the MSI-X table is in it. That
   * table is the kernel's: do not write to it.
   */
  get msixMappable(): boolean {
    return this.#info.msixMappable;
  }

  /** Whether it can be read. */
  get readable(): boolean {
    return this.#info.readable;
  }

  /** Whether it can be written. */
  get writable(): boolean {
    return this.#info.writable;
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
    const start = this.#info.start + BigInt(area.offset);
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
        ungated();
        released();
      }, () => this.#device.isPresent());
      const released = this.#device.hold(
        `the registers of region ${this.index}`,
        () => registers.unmap(),
      );
      this.#mapped.add(registers);
      const ungated = this.#device.gate.add(registers);
      return registers;
    } catch (error) {
      throw toVfioError(error, `map region ${this.index}`, name);
    }
  }

  until32(
    offset: number,
    mask: number,
    value: number,
    options?: WaitOptions,
  ): Promise<number> {
    return until32(this, this.#device, { offset, mask, value }, options);
  }

  /**
   * Has the kernel write to a register of a BAR whenever an eventfd is
   * signalled: once a signal, without this process. Doorbells of virtual
   * machines are made so. Nothing is written while the function's memory
   * decoding is off.
   *
   * @param offset Where the register is, in bytes.
   * @param value What is written.
   * @param options The width, and an eventfd of the caller's.
   * @throws {RangeError} If the register is not inside the region, or the
   * value has more bits.
   * @throws {VfioError} `NOT_SUPPORTED` if it is no BAR, has the MSI-X table
   * there, or the device's driver has no such function; `DETACHED`; `KERNEL`
   * if that write of that value has an eventfd already.
   *
   * @example A doorbell that another process rings
   * ```ts
   * import { AddressSpace, VfioDevice } from "@passthru/vfio";
   *
   * await using space = new AddressSpace();
   * await using device = await VfioDevice.attach("0000:01:00.0", space);
   * using doorbell = device.bar(0).ioeventfd(0x1000, 1);
   * doorbell.signal(); // or whoever has doorbell.fd
   * ```
   */
  ioeventfd(
    offset: number,
    value: number | bigint,
    options?: IoEventFdOptions,
  ): IoEventFd {
    const { index, name, size } = this;
    const region = { index, name, size, start: this.#info.start };
    return new IoEventFd(this.#device, region, offset, value, options);
  }

  /**
   * Makes a dma-buf of parts of a BAR, by which another device reaches them:
   * for an IOMMU to map, or another process. Linux 6.19 and later do.
   *
   * While the function's memory decoding is off, and at a reset, in low power
   * and at the detach, the kernel takes the memory back: an IOMMU's mapping of
   * it is gone for good, and can be made anew of the same dma-buf:
   * {@linkcode DmaMapping.revoked}.
   *
   * @param areas The parts, whole pages, in the order that they have in it.
   * Default: all of the BAR.
   * @returns The dma-buf, which the caller closes.
   * @throws {RangeError} If that is not inside the BAR.
   * @throws {VfioError} `NOT_SUPPORTED`, `DETACHED`, or `KERNEL`.
   */
  async exportDmaBuf(...areas: readonly Area[]): Promise<Fd> {
    const { exportDmaBuf } = await import("../features/dma_buf.ts");
    const all = [{ offset: 0, size: this.size }];
    const parts = areas.length > 0 ? areas : all;
    const dmaBuf = exportDmaBuf(this.#device, this, parts);
    tellRevocation(dmaBuf, (tell) => this.#device.gate.watch(tell));
    return dmaBuf;
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

  /** Whether it is a BAR or the ROM of a PCI function. */
  get #isMemory(): boolean {
    return this.index <= VFIO_PCI_ROM_REGION_INDEX;
  }

  #transfer(verb: "read" | "write", offset: number, bytes: Uint8Array): void {
    const { kernel, fd } = this.#device;
    // A driver accesses few registers often: their places are not made anew.
    if (offset !== this.#lastOffset) {
      this.#lastOffset = offset;
      this.#lastPlace = this.#info.start + BigInt(offset);
    }
    let done: number;
    try {
      done = verb === "read"
        ? kernel.pread(fd, bytes, this.#lastPlace)
        : kernel.pwrite(fd, bytes, this.#lastPlace);
    } catch (error) {
      throw this.#isMemory && this.#device.gate.explain(error) || toVfioError(
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
