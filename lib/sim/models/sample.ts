/**
 * What the kernel's sample drivers of mediated devices have in common
 * (`samples/vfio-mdev/`).
 *
 * @module
 */

import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  vfio_device_info,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  vfio_irq_info,
  VFIO_PCI_NUM_IRQS,
  vfio_region_info,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../../uapi/vfio/all.ts";
import { PCI_BASE_ADDRESS_SPACE_IO } from "../../uapi/pci/regs.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  answerInfo,
  type InfoCapability,
  inMemory,
  received,
  sizeOf,
} from "../process/argument.ts";
import type { Process } from "../fs/file.ts";
import type { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";
import type { MediatedDriver } from "./mediated_driver.ts";
import type { DrivenModel } from "./model.ts";

/** Bytes of config space: one less than a function has. */
export const SAMPLE_CONFIG_SIZE = 0xff;
/** The flags of a region that can be read and written. */
export const READ_WRITE = VFIO_REGION_INFO_FLAG_READ |
  VFIO_REGION_INFO_FLAG_WRITE;

/** A region of a sample. */
export interface SampleRegion {
  /** Bytes in it. */
  readonly size: number;
  /** `VFIO_REGION_INFO_FLAG_*`. */
  readonly flags: number;
  /** Where it begins in the device's file. */
  readonly offset: bigint;
  /** Its capabilities. */
  readonly capabilities?: readonly InfoCapability[];
}

/** An interrupt index of a sample. */
export interface SampleIrq {
  /** `VFIO_IRQ_INFO_*`; default: as the caller passed them. */
  readonly flags?: number;
  /** How many vectors. */
  readonly count: number;
}

/** A sample driver and its device. */
export abstract class SampleDriver implements DrivenModel, MediatedDriver {
  readonly bars = [];
  readonly msi = 0;
  readonly msix = 0;
  readonly intx = false;
  /** It answers for itself. */
  readonly driver: MediatedDriver = this;
  /** Its config space. */
  protected readonly config = new DataView(
    new ArrayBuffer(SAMPLE_CONFIG_SIZE),
  );
  /** How many IRQ indexes the last VFIO_DEVICE_GET_INFO has told of. */
  protected irqs = 0;

  /** How many regions it tells of. */
  protected abstract readonly regions: number;
  /** A region. EINVAL where there is none. */
  protected abstract region(index: number): SampleRegion;
  /** An interrupt index. EINVAL where there is none. */
  protected abstract irq(index: number): SampleIrq;
  /** Reads 1, 2 or 4 bytes; `undefined` where nothing is. */
  protected abstract readAt(at: number, width: number): number | undefined;
  /** Writes 1, 2 or 4 bytes. Returns whether there is something. */
  protected abstract writeAt(at: number, width: number, value: number): boolean;
  abstract reset(): void;
  abstract mmap(length: number, offset: bigint): Pages;

  closed(): void {}

  /** Answers an ioctl that not every sample has. */
  protected ownIoctl(
    _operation: Ioctl,
    _argument: Uint8Array | bigint,
    _process: Process,
  ): number | undefined {
    return undefined;
  }

  /** VFIO_DEVICE_SET_IRQS, which most refuse. */
  protected setIrqs(_argument: Uint8Array | bigint, _process: Process): number {
    return refuse("EINVAL");
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | undefined {
    switch (operation.request) {
      case VFIO_DEVICE_GET_INFO.request:
        return this.#info(argument);
      case VFIO_DEVICE_GET_REGION_INFO.request:
        return this.#regionInfo(argument);
      case VFIO_DEVICE_GET_IRQ_INFO.request:
        return this.#irqInfo(argument);
      case VFIO_DEVICE_SET_IRQS.request:
        return this.setIrqs(argument, process);
      case VFIO_DEVICE_RESET.request:
        this.reset();
        return 0;
      default:
        return this.ownIoctl(operation, argument, process);
    }
  }

  pread(into: Uint8Array, offset: bigint): number {
    const view = new DataView(into.buffer, into.byteOffset);
    for (const { at, done, width } of accesses(offset, into.length)) {
      const value = this.readAt(at, width) ?? refuse("EFAULT");
      for (let i = 0; i < width; i++) {
        view.setUint8(done + i, value >>> 8 * i & 0xff);
      }
    }
    return into.length;
  }

  pwrite(from: Uint8Array, offset: bigint): number {
    for (const { at, done, width } of accesses(offset, from.length)) {
      let value = 0;
      for (let i = width - 1; i >= 0; i--) {
        value = value * 256 + from[done + i]!;
      }
      if (!this.writeAt(at, width, value)) refuse("EFAULT");
    }
    return from.length;
  }

  /**
   * Writes config space: only the address of a BAR can be changed.
   *
   * @param bar The size of the BAR whose register is there; 0 for none.
   */
  protected writeConfig(at: number, value: number, bar: number): void {
    if (bar === 0) return;
    const old = this.config.getUint32(at, true);
    const kind = (old & PCI_BASE_ADDRESS_SPACE_IO) !== 0 ? 0x3 : 0xf;
    const address = value === 0xffff_ffff ? -bar : value & ~kind;
    this.config.setUint32(at, (address | old & kind) >>> 0, true);
  }

  /** Reads config space, up to its end. */
  protected readConfig(at: number, width: number): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) {
      const byte = at + i < SAMPLE_CONFIG_SIZE
        ? this.config.getUint8(at + i)
        : 0;
      value = value * 256 + byte;
    }
    return value;
  }

  #info(argument: Uint8Array | bigint): number {
    received(vfio_device_info, argument, 16);
    answerInfo(argument, vfio_device_info, {
      flags: VFIO_DEVICE_FLAGS_PCI,
      num_regions: this.regions,
      num_irqs: VFIO_PCI_NUM_IRQS,
    }, []);
    this.irqs = VFIO_PCI_NUM_IRQS;
    return 0;
  }

  #regionInfo(argument: Uint8Array | bigint): number {
    const { index } = received(vfio_region_info, argument);
    const { size, flags, offset, capabilities = [] } = this.region(index);
    answerInfo(argument, vfio_region_info, {
      index,
      flags: flags | (capabilities.length > 0 ? VFIO_REGION_INFO_FLAG_CAPS : 0),
      size: BigInt(size),
      offset,
    }, capabilities);
    return 0;
  }

  #irqInfo(argument: Uint8Array | bigint): number {
    const asked = received(vfio_irq_info, argument);
    const { index } = asked;
    if (index >= this.irqs) refuse("EINVAL");
    const { flags = asked.flags, count } = this.irq(index);
    const argsz = sizeOf(argument);
    vfio_irq_info.encode(inMemory(argument), { argsz, flags, index, count });
    return 0;
  }
}

/** Splits an access into aligned ones, as large as possible up to 4 bytes. */
function* accesses(
  offset: bigint,
  length: number,
): Generator<{ at: number; done: number; width: number }> {
  for (let done = 0; done < length;) {
    const at = Number(offset) + done;
    const width = [4, 2, 1].find((width) =>
      width <= length - done && at % width === 0
    )!;
    yield { at, done, width };
    done += width;
  }
}
