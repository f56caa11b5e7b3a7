/**
 * A PCI function's config space, as vfio-pci shows it to user space
 * (`drivers/vfio/pci/vfio_pci_config.c`).
 *
 * @module
 */

import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "../uapi/pci_regs.ts";
import type { Bar, DeviceModel } from "./models/model.ts";

/** What a function's header says it is. */
export interface Identity {
  /** Vendor id, 16 bits. */
  readonly vendor: number;
  /** Device id, 16 bits. */
  readonly device: number;
  /** Subsystem vendor id, 16 bits. */
  readonly subsystemVendor: number;
  /** Subsystem id, 16 bits. */
  readonly subsystem: number;
  /** Class code, 24 bits. */
  readonly class: number;
  /** Revision id, 8 bits. */
  readonly revision: number;
  /** Whether it is a PCI Express function, with 4 KiB of config space. */
  readonly express: boolean;
}

const COMMAND_BITS = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
  PCI_COMMAND_INTX_DISABLE;

/** Where the capabilities begin, and how far they are apart. */
const FIRST_CAPABILITY = 0x40;
const CAPABILITY_STRIDE = 0x18;

/** Config space. */
export class ConfigSpace {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #bars: readonly (Bar | undefined)[];

  /**
   * A function's config space after it was enabled: it decodes its BARs, and
   * may not start DMA.
   *
   * @param identity What its header says it is.
   * @param model Its BARs and interrupts.
   */
  constructor(identity: Identity, model: DeviceModel) {
    const size = identity.express ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
    this.#bars = model.bars;
    this.#put16(PCI_VENDOR_ID, identity.vendor);
    this.#put16(PCI_DEVICE_ID, identity.device);
    this.#put16(PCI_SUBSYSTEM_VENDOR_ID, identity.subsystemVendor);
    this.#put16(PCI_SUBSYSTEM_ID, identity.subsystem);
    this.#view.setUint32(
      PCI_CLASS_REVISION,
      (identity.class << 8 | identity.revision) >>> 0,
      true,
    );
    this.#bytes[PCI_INTERRUPT_PIN] = model.intx ? 1 : 0;
    const { msi, msix } = model;
    const vectors = Math.ceil(Math.log2(msi)) << 1;
    this.#addCapabilities([
      ...(identity.express ? [{ id: PCI_CAP_ID_EXP, flags: 0 }] : []),
      { id: PCI_CAP_ID_PM, flags: 0 },
      ...(msi > 0 ? [{ id: PCI_CAP_ID_MSI, flags: vectors }] : []),
      ...(msix > 0 ? [{ id: PCI_CAP_ID_MSIX, flags: msix - 1 }] : []),
    ]);
    this.reset();
  }

  /** Bytes in it. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Whether the function may start DMA. */
  get master(): boolean {
    return (this.#view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MASTER) !== 0;
  }

  /** Whether the function answers memory accesses. */
  get memory(): boolean {
    return (this.#view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MEMORY) !== 0;
  }

  /** Back to how it is when the function is enabled. */
  reset(): void {
    const ports = this.#bars.some((bar) => bar?.io) ? PCI_COMMAND_IO : 0;
    this.#put16(PCI_COMMAND, PCI_COMMAND_MEMORY | ports);
    for (const index of this.#bars.keys()) this.#putBar(index, 0);
  }

  /** Reads; what is outside is 0. */
  read(offset: number, into: Uint8Array): void {
    into.set(this.#bytes.subarray(offset, offset + into.length));
  }

  /** Writes what can be written of it. */
  write(offset: number, from: Uint8Array): void {
    for (const [i, value] of from.entries()) this.#write8(offset + i, value);
    for (const index of this.#bars.keys()) {
      const at = PCI_BASE_ADDRESS_0 + 4 * index;
      if (offset < at + 4 && at < offset + from.length) {
        this.#putBar(index, this.#view.getUint32(at, true));
      }
    }
  }

  #write8(offset: number, value: number): void {
    const shift = 8 * (offset - PCI_COMMAND);
    const old = this.#bytes[offset]!;
    const mask = offset === PCI_COMMAND || offset === PCI_COMMAND + 1
      ? COMMAND_BITS >> shift & 0xff
      : this.#isBar(offset) || offset === PCI_INTERRUPT_LINE
      ? 0xff
      : 0;
    this.#bytes[offset] = (old & ~mask) | (value & mask);
  }

  #isBar(offset: number): boolean {
    const index = (offset - PCI_BASE_ADDRESS_0) >> 2;
    return offset >= PCI_BASE_ADDRESS_0 && this.#bars[index] !== undefined;
  }

  // The bits that the size leaves are the address's, so that all ones read
  // back as the size.
  #putBar(index: number, value: number): void {
    const bar = this.#bars[index];
    if (bar === undefined) return;
    const address = bar.io ? value & ~0x3 | 0x1 : value & ~0xf;
    const masked = address & (-bar.size | (bar.io ? 0x1 : 0));
    this.#view.setUint32(PCI_BASE_ADDRESS_0 + 4 * index, masked >>> 0, true);
  }

  #addCapabilities(
    capabilities: readonly { id: number; flags: number }[],
  ): void {
    this.#put16(PCI_STATUS, PCI_STATUS_CAP_LIST);
    this.#bytes[PCI_CAPABILITY_LIST] = FIRST_CAPABILITY;
    for (const [i, { id, flags }] of capabilities.entries()) {
      const at = FIRST_CAPABILITY + i * CAPABILITY_STRIDE;
      const isLast = i + 1 === capabilities.length;
      this.#bytes[at] = id;
      this.#bytes[at + 1] = isLast ? 0 : at + CAPABILITY_STRIDE;
      this.#put16(at + 2, flags);
    }
  }

  #put16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, true);
  }
}
