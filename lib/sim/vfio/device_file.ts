/**
 * Simulates an open VFIO device (`drivers/vfio/vfio_main.c`,
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import { PCI_MSIX_ENTRY_SIZE } from "../../uapi/pci/regs.ts";
import {
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  vfio_device_info,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  vfio_irq_info,
  vfio_irq_set,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  vfio_region_info,
} from "../../uapi/vfio/all.ts";
import { answerInfo, inMemory, received, sizeOf } from "../process/argument.ts";
import type { Device } from "../driver/bus.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import { Pages } from "../process/memory.ts";
import { type AddedRegion, type Bar, msixBar } from "../models/model.ts";
import type { PciCore } from "../pci/core.ts";
import { PciFunction } from "../pci/function.ts";
import { type RomWindow, romWindow } from "../pci/rom_window.ts";
import type { VgaPorts } from "../pci/vga_ports.ts";
import { refuse } from "../process/refusal.ts";
import { deviceFeature } from "./features/features.ts";
import { hotReset, hotResetInfo, type HotResetOwner } from "./hot_reset.ts";
import { type Layout, layoutOf } from "./layout.ts";
import {
  type Accessed,
  deviceCapabilities,
  readableRom,
  regionInfo,
} from "./region_info.ts";
import { registerViews } from "./register_views.ts";
import type { VfioDevice } from "./device.ts";

/** The position of the region's index in an offset of the device's file. */
const REGION_SHIFT = 40n;
const PAGE = 4096;
const OFFSET_MASK = (1n << REGION_SHIFT) - 1n;

/** An open device with its registers and interrupts. */
export class DeviceFile implements OpenFile {
  readonly linkText: string = "anon_inode:[vfio-device]";
  /** The device. */
  protected readonly device: Device;
  readonly #vfio: VfioDevice;
  readonly #layout: Layout;
  readonly #closed: () => void;
  #granted = false;

  /**
   * Opens a device. It cannot be used before {@linkcode DeviceFile.grant}.
   *
   * @param device The device.
   * @param closed Called when the last descriptor and mapping is gone.
   */
  constructor(device: Device, closed: () => void) {
    this.device = device;
    this.#vfio = device.vfio!;
    this.#layout = layoutOf(device);
    this.#vfio.opened();
    this.#closed = closed;
  }

  /** Allows its use. The first user enables the device. */
  grant(): void {
    this.#granted = true;
    if (this.#vfio.users++ === 0) this.core.enable();
  }

  /** What it knows of the owners of other devices. */
  protected get owner(): HotResetOwner {
    return {};
  }

  /** The registers and interrupts of the PCI function. */
  protected get core(): PciCore {
    return this.device.core;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | Promise<number> {
    const { lowPower, migration, model: { driver } } = this.core;
    lowPower.access();
    if (operation.request === VFIO_DEVICE_FEATURE.request) {
      return deviceFeature(this.device, argument, process);
    }
    const answer = driver?.ioctl(operation, argument, process);
    if (answer !== undefined) {
      if (operation.request === VFIO_DEVICE_RESET.request) migration?.reset();
      return answer;
    }
    switch (operation.request) {
      case VFIO_DEVICE_GET_INFO.request:
        return this.#getInfo(argument);
      case VFIO_DEVICE_GET_REGION_INFO.request:
        return this.#getRegionInfo(argument);
      case VFIO_DEVICE_GET_IRQ_INFO.request:
        return this.#getIrqInfo(argument);
      case VFIO_DEVICE_SET_IRQS.request:
        return this.#setIrqs(argument, process);
      case VFIO_DEVICE_RESET.request:
        return this.#reset();
      case VFIO_DEVICE_IOEVENTFD.request:
        return this.#ioeventfd(argument, process);
      case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.request:
        return hotResetInfo(this.device, this.owner, argument);
      case VFIO_DEVICE_PCI_HOT_RESET.request:
        return hotReset(
          this.device,
          this.owner,
          argument,
          (fd) => process.file(fd),
        );
      case VFIO_DEVICE_BIND_IOMMUFD.request:
        return refuse("EINVAL");
      default:
        return refuse("ENOTTY");
    }
  }

  pread(into: Uint8Array, offset: bigint): number {
    this.core.lowPower.access();
    const { driver } = this.core.model;
    if (driver !== undefined) return driver.pread(into, offset);
    const { index, at } = place(offset);
    return this.#transfer(index, at, into.length, (bar, from, width, done) => {
      const value = bar.read(from, width);
      for (let i = 0; i < width; i++) {
        into[done + i] = Number(value >> BigInt(8 * i) & 0xffn);
      }
    }, () => this.core.config.read(at, into));
  }

  pwrite(from: Uint8Array, offset: bigint): number {
    this.core.lowPower.access();
    const { driver } = this.core.model;
    if (driver !== undefined) return driver.pwrite(from, offset);
    const { index, at } = place(offset);
    const added = this.#added(index);
    const isReadOnly = index === VFIO_PCI_ROM_REGION_INDEX ||
      added !== undefined && !added.writable;
    // Nothing is looked at before a write of nothing succeeds.
    if (isReadOnly && from.length > 0) refuse("EINVAL");
    return this.#transfer(index, at, from.length, (bar, to, width, done) => {
      let value = 0n;
      for (let i = width - 1; i >= 0; i--) {
        value = value << 8n | BigInt(from[done + i]!);
      }
      bar.write(to, width, value);
    }, () => this.core.config.write(at, from));
  }

  mmap(length: number, offset: bigint): Pages {
    const { driver } = this.core.model;
    if (driver !== undefined) return driver.mmap(length, offset);
    const { index, at } = place(offset);
    const bar = this.#bar(index);
    if (bar === undefined || !bar.mappable) return refuse("EINVAL");
    const size = Math.ceil(length / PAGE) * PAGE;
    if (at % PAGE !== 0 || at + size > Math.max(bar.size, PAGE)) {
      refuse("EINVAL");
    }
    // The device answers each access, so nothing is stored here. The buffer is
    // resizable, since V8 only maps such memory and does not clear it.
    const memory = new ArrayBuffer(length, { maxByteLength: length });
    const views = registerViews(
      bar,
      at,
      memory,
      () => {
        this.core.assertNotResetting();
        return this.#answers && !this.core.lowPower.engaged;
      },
    );
    return new Pages(new Uint8Array(memory), views);
  }

  close(): void {
    if (this.#granted && --this.#vfio.users === 0) this.core.disable();
    this.#closed();
    this.#vfio.closed();
  }

  #bar(index: number): Bar | undefined {
    return this.core.model.bars[index];
  }

  /** Whether a region is config space. */
  #isConfig(index: number): boolean {
    return this.#layout.isPci && index === VFIO_PCI_CONFIG_REGION_INDEX;
  }

  /** Whether the device answers accesses to its memory. */
  get #answers(): boolean {
    return !this.#layout.isPci || this.core.config.memory;
  }

  get #rom(): RomWindow | undefined {
    const { device } = this;
    return device instanceof PciFunction ? romWindow(device) : undefined;
  }

  get #vga(): VgaPorts | undefined {
    const { device } = this;
    return device instanceof PciFunction ? device.vga : undefined;
  }

  /** What is at a place of a region, except config space. */
  #accessed(index: number, at: number): Accessed | undefined {
    if (index === VFIO_PCI_VGA_REGION_INDEX) return this.#vga?.rangeAt(at);
    if (index !== VFIO_PCI_ROM_REGION_INDEX) {
      return this.#added(index) ?? this.#bar(index);
    }
    const rom = this.#rom;
    return rom && readableRom(rom);
  }

  #added(index: number): AddedRegion | undefined {
    return this.core.model.addedRegions?.[index - VFIO_PCI_NUM_REGIONS];
  }

  #getInfo(argument: Uint8Array | bigint): number {
    received(vfio_device_info, argument, 16);
    const { flag, regions, irqs } = this.#layout;
    const capabilities = deviceCapabilities(this.core.model);
    answerInfo(argument, vfio_device_info, {
      flags: flag |
        (this.device.resets.length > 0 ? VFIO_DEVICE_FLAGS_RESET : 0) |
        (capabilities.length > 0 ? VFIO_DEVICE_FLAGS_CAPS : 0),
      num_regions: regions + (this.core.model.addedRegions?.length ?? 0),
      num_irqs: irqs,
    }, capabilities);
    return 0;
  }

  #getRegionInfo(argument: Uint8Array | bigint): number {
    const { index } = received(vfio_region_info, argument);
    const { isPci, regions } = this.#layout;
    if (!isPci && index >= regions) refuse("EINVAL");
    const { flags, size, capabilities } = regionInfo(
      this.core,
      index,
      this.#rom,
      this.#vga !== undefined,
    );
    answerInfo(argument, vfio_region_info, {
      index,
      flags,
      size: BigInt(size),
      offset: BigInt(index) << REGION_SHIFT,
    }, capabilities);
    return 0;
  }

  #ioeventfd(argument: Uint8Array | bigint, process: Process): number {
    const { model, ioeventfds } = this.core;
    if (model.driver !== undefined) refuse("ENOTTY");
    ioeventfds.set(argument, (offset) => {
      const { index, at } = place(offset);
      const bar = this.#bar(index) ?? refuse("EINVAL");
      const tableEnd = index === msixBar(model)
        ? model.msix * PCI_MSIX_ENTRY_SIZE
        : 0;
      return { bar, at, tableEnd };
    }, (fd) => process.file(fd));
    return 0;
  }

  #getIrqInfo(argument: Uint8Array | bigint): number {
    const { index } = received(vfio_irq_info, argument);
    if (index >= this.#layout.irqs) refuse("EINVAL");
    const { interrupts } = this.core;
    const flags = interrupts.flags(index);
    vfio_irq_info.encode(inMemory(argument), {
      argsz: sizeOf(argument),
      index,
      flags,
      count: interrupts.count(index),
    });
    return 0;
  }

  #setIrqs(argument: Uint8Array | bigint, process: Process): number {
    const least = vfio_irq_set.offset.data;
    const request = received(vfio_irq_set, argument, least);
    if (request.index >= this.#layout.irqs) refuse("EINVAL");
    const bytes = inMemory(argument);
    const data = new DataView(
      bytes.buffer,
      bytes.byteOffset + least,
      Math.max(0, Math.min(request.argsz, bytes.length) - least),
    );
    const { interrupts } = this.core;
    return interrupts.set(request, data, (fd) => process.file(fd));
  }

  async #reset(): Promise<number> {
    if (this.device.resets.length === 0) refuse("EINVAL");
    this.core.resetting = true;
    await Promise.resolve();
    this.core.resetting = false;
    this.core.reset();
    return 0;
  }

  /** Splits a read or write into aligned accesses, as large as possible. */
  #transfer(
    index: number,
    at: number,
    length: number,
    access: (bar: Accessed, at: number, width: number, done: number) => void,
    config: () => void,
  ): number {
    if (length === 0) return 0;
    if (this.#isConfig(index)) {
      if (at + length > this.core.config.size) refuse("EFAULT");
      config();
      return length;
    }
    const bar = this.#accessed(index, at);
    if (bar === undefined || at >= bar.size) return refuse("EINVAL");
    const isMemory = index <= VFIO_PCI_ROM_REGION_INDEX &&
      !this.#bar(index)?.io;
    if (isMemory && !this.#answers) refuse("EIO");
    const count = Math.min(length, bar.size - at);
    for (let done = 0; done < count;) {
      const width = this.#widths.find((width) =>
        width <= count - done && (at + done) % width === 0
      )!;
      access(bar, at + done, width, done);
      done += width;
    }
    return count;
  }

  /** The widths of an access, the widest first. */
  get #widths(): readonly number[] {
    return this.core.hasWideAccess ? [8, 4, 2, 1] : [4, 2, 1];
  }
}

function place(offset: bigint): { index: number; at: number } {
  return {
    index: Number(offset >> REGION_SHIFT),
    at: Number(offset & OFFSET_MASK),
  };
}
