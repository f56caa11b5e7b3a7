/**
 * Simulates a PCI function's config space, as vfio-pci shows it to user space
 * (`drivers/vfio/pci/vfio_pci_config.c`).
 *
 * @module
 */

import {
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_CACHE_LINE_SIZE,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PM,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_SERR,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "../../uapi/pci/regs.ts";
import { BarRegisters } from "./bar_registers.ts";
import { putCapabilities } from "./capabilities.ts";
import { type Port, putPort } from "./express_port.ts";
import type { DeviceModel } from "../models/model.ts";
import { putSerialNumber } from "./serial_number.ts";

/** The ids in a function's header. */
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
  /** Its role on its bus. The header of a bridge has it too. */
  readonly port: Port;
  /** Revision id, 8 bits. */
  readonly revision: number;
  /** Its serial number, as lspci writes it, if it has one. */
  readonly serial?: string | undefined;
  /** Whether it is a PCI Express function, with 4 KiB of config space. */
  readonly express: boolean;
  /**
   * Whether its header says that the slot has several functions. Default:
   * false.
   */
  readonly multifunction?: boolean;
}

/** The bits of the command register that firmware sets. */
const COMMAND_AT_BOOT = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR;
const COMMAND_BITS = COMMAND_AT_BOOT | PCI_COMMAND_MASTER |
  PCI_COMMAND_INTX_DISABLE;

/** The value of PCI_PM_CTRL_STATE_MASK in which a function sleeps. */
const D3HOT = 3;

/** What a config space depends on, besides its header. */
export interface ConfigTraits {
  /** Whether it has a function level reset. */
  readonly flr: boolean;
  /** Whether its power state can be set. */
  readonly pm: boolean;
  /**
   * Whether its memory is decoded whatever its command register says, as that of
   * a virtual function.
   */
  readonly alwaysDecoded: boolean;
  /** Called when its command register was written. */
  readonly onCommand: (command: number) => void;
  /** Called when it is reset: by a write, or by leaving D3hot. */
  readonly onReset: () => void;
}

/** Config space. */
export class ConfigSpace {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #bars: BarRegisters;
  readonly #traits: ConfigTraits;
  /** Where its capabilities begin, by their ids. */
  readonly #capabilities: ReadonlyMap<number, number>;

  /**
   * Makes a function's config space as firmware leaves it.
   *
   * @param identity The ids of its header.
   * @param model Its BARs and interrupts.
   * @param traits How it can be reset, and who hears of writes.
   */
  constructor(identity: Identity, model: DeviceModel, traits: ConfigTraits) {
    const size = identity.express ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
    this.#traits = traits;
    this.#put16(PCI_VENDOR_ID, identity.vendor);
    this.#put16(PCI_DEVICE_ID, identity.device);
    this.#put16(PCI_SUBSYSTEM_VENDOR_ID, identity.subsystemVendor);
    this.#put16(PCI_SUBSYSTEM_ID, identity.subsystem);
    const revision = identity.class * 2 ** 8 + identity.revision;
    this.#view.setUint32(PCI_CLASS_REVISION, revision, true);
    if (identity.multifunction) {
      this.#bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_MFD;
    }
    this.#bytes[PCI_INTERRUPT_PIN] = model.intx ? 1 : 0;
    this.#bars = new BarRegisters(this.#view, model.bars);
    this.#capabilities = putCapabilities(
      this.#view,
      { ...traits, ...identity },
      model,
    );
    putPort(this.#view, identity.port);
    if (identity.serial !== undefined) {
      putSerialNumber(this.#view, identity.serial);
    }
    this.#put16(PCI_COMMAND, COMMAND_AT_BOOT);
  }

  /** Its size in bytes. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Whether the function may start DMA. */
  get master(): boolean {
    return (this.#command & PCI_COMMAND_MASTER) !== 0;
  }

  /** Whether the function answers memory accesses. */
  get memory(): boolean {
    const decoded = this.#traits.alwaysDecoded ||
      (this.#command & PCI_COMMAND_MEMORY) !== 0;
    return decoded && !this.asleep;
  }

  /** Whether it is in D3hot. */
  get asleep(): boolean {
    const at = this.#powerControl;
    return at !== undefined &&
      (this.#bytes[at]! & PCI_PM_CTRL_STATE_MASK) === D3HOT;
  }

  /** Wakes it, as a reset does. */
  wake(): void {
    const at = this.#powerControl;
    if (at !== undefined) this.#bytes[at]! &= ~PCI_PM_CTRL_STATE_MASK;
  }

  get #powerControl(): number | undefined {
    const at = this.#capabilities.get(PCI_CAP_ID_PM);
    return at === undefined ? undefined : at + PCI_PM_CTRL;
  }

  /**
   * Resets the registers when the function is given to user space: it may not
   * start DMA, and the values of its last user are gone.
   *
   * @param addresses The addresses of its BARs, by number.
   */
  enable(addresses: readonly (bigint | undefined)[]): void {
    this.#setCommand(COMMAND_AT_BOOT);
    this.#bytes[PCI_INTERRUPT_LINE] = 0;
    this.#bytes[PCI_CACHE_LINE_SIZE] = 0;
    this.#bars.place(addresses);
  }

  /** Forbids DMA when the function is taken back. */
  disable(): void {
    this.#setCommand(this.#command & ~PCI_COMMAND_MASTER);
  }

  /** Sets whether the function asserts its INTx line. */
  interrupt(asserted: boolean): void {
    const status = this.#view.getUint16(PCI_STATUS, true);
    this.#put16(
      PCI_STATUS,
      asserted ? status | PCI_STATUS_INTERRUPT : status & ~PCI_STATUS_INTERRUPT,
    );
  }

  /** Reads bytes, all of which must be inside it. */
  read(offset: number, into: Uint8Array): void {
    into.set(this.#bytes.subarray(offset, offset + into.length));
  }

  /** Writes the bits that are writable. */
  write(offset: number, from: Uint8Array): void {
    const command = this.#command;
    const wasAsleep = this.asleep;
    for (const [i, value] of from.entries()) {
      const mask = this.#writable(offset + i);
      const old = this.#bytes[offset + i]!;
      this.#bytes[offset + i] = (old & ~mask) | (value & mask);
    }
    this.#bars.mask();
    if (this.#command !== command) this.#traits.onCommand(this.#command);
    if (this.#takeFlr() || wasAsleep && !this.asleep) this.#traits.onReset();
  }

  /** Whether a function level reset was written; it reads as 0. */
  #takeFlr(): boolean {
    const at = this.#flrByte;
    if (at === undefined || this.#bytes[at] === 0) return false;
    this.#bytes[at] = 0;
    return true;
  }

  /** The byte with the bit of the function level reset. */
  get #flrByte(): number | undefined {
    const at = this.#capabilities.get(PCI_CAP_ID_EXP);
    return at === undefined || !this.#traits.flr
      ? undefined
      : at + PCI_EXP_DEVCTL + 1;
  }

  get #command(): number {
    return this.#view.getUint16(PCI_COMMAND, true);
  }

  #setCommand(command: number): void {
    this.#put16(PCI_COMMAND, command);
    this.#traits.onCommand(command);
  }

  #writable(offset: number): number {
    switch (offset) {
      case PCI_COMMAND:
        return COMMAND_BITS & 0xff;
      case PCI_COMMAND + 1:
        return COMMAND_BITS >> 8;
      case PCI_INTERRUPT_LINE:
      case PCI_CACHE_LINE_SIZE:
        return 0xff;
      case this.#powerControl:
        return PCI_PM_CTRL_STATE_MASK;
      case this.#flrByte:
        return PCI_EXP_DEVCTL_BCR_FLR >> 8;
      default:
        return this.#bars.has(offset - PCI_BASE_ADDRESS_0) ? 0xff : 0;
    }
  }

  #put16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, true);
  }
}
