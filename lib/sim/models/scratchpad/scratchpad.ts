import {
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
} from "../../../uapi/vfio/migration.ts";
import type { ModelLog, ModelMigration } from "../migration.ts";
import type { Bar, DeviceKind, DeviceModel, DevicePort } from "../model.ts";
import { SavedScratchpad } from "./saved.ts";
import {
  LoadedScratchpad,
  PAGE,
  type Scratchpad,
  STATE_SIZE,
} from "./state.ts";

const ID = 0x00;
const DMA_TARGET = 0x08;
const DMA_COUNT = 0x10;
const RUN = 0x14;
const SETTINGS = 0x18;
/** Where its memory begins, which the registers are before. */
const MEMORY = 0x1000;
const SIZE = 0x1_0000;

/**
 * A device of no vendor that can migrate, for what QEMU and the kernel's samples
 * do not have: data that changes while it is saved, and a log of its DMA.
 *
 * BAR 0 has 60 KiB of memory at 0x1000, and the registers
 *
 * - 0x00, 32 bits: 0x5c7a7c4e
 * - 0x08, 64 bits: the IOVA that a DMA writes to
 * - 0x10, 32 bits: how many bytes of the memory it writes
 * - 0x14, 32 bits: a write starts the DMA
 * - 0x18, 32 bits: settings, any value; the initial data of its state
 */
export const scratchpad: DeviceKind = {
  name: "scratchpad",
  id: "1234:5c7a",
  class: 0x00ff00,
  resets: ["flr"],
  create: (port) => new ScratchpadDevice(port),
};

class ScratchpadDevice implements DeviceModel {
  readonly msi = 0;
  readonly msix = 0;
  readonly intx = false;
  readonly bars: readonly Bar[];
  readonly migration: ModelMigration;
  readonly log: ModelLog = {
    works: true,
    pageSize: 0,
    startedTwice: "EINVAL",
  };
  readonly #port: DevicePort;
  readonly #state: Scratchpad = {
    memory: new Uint8Array(SIZE - MEMORY),
    registers: new DataView(new ArrayBuffer(MEMORY)),
  };
  #saved: SavedScratchpad | undefined;

  constructor(port: DevicePort) {
    this.#port = port;
    this.bars = [{
      size: SIZE,
      mappable: true,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    }];
    this.migration = {
      flags: VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
        VFIO_MIGRATION_PRE_COPY,
      noData: "ENOMSG",
      runsWhenOpened: true,
      size: STATE_SIZE,
      save: () => this.#saved = new SavedScratchpad(this.#state),
      load: () => new LoadedScratchpad(this.#state),
    };
  }

  reset(): void {
    this.#state.memory.fill(0);
    new Uint8Array(this.#state.registers.buffer).fill(0);
  }

  #read(offset: number, width: number): bigint {
    if (offset === ID) return 0x5c7a_7c4en;
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      value = value << 8n | BigInt(this.#byte(offset + i));
    }
    return value;
  }

  #byte(offset: number): number {
    const { memory, registers } = this.#state;
    return offset < MEMORY
      ? registers.getUint8(offset)
      : memory[offset - MEMORY]!;
  }

  #write(offset: number, width: number, value: bigint): void {
    const { memory, registers } = this.#state;
    for (let i = 0; i < width; i++) {
      const byte = Number(value >> BigInt(8 * i) & 0xffn);
      if (offset < MEMORY) registers.setUint8(offset + i, byte);
      else memory[offset - MEMORY + i] = byte;
    }
    if (offset >= MEMORY) {
      this.#saved?.wrote(Math.floor((offset - MEMORY) / PAGE));
    } else if (offset === SETTINGS) this.#saved?.set();
    else if (offset === RUN) this.#transfer();
  }

  #transfer(): void {
    const { memory, registers } = this.#state;
    const target = registers.getBigUint64(DMA_TARGET, true);
    const count = registers.getUint32(DMA_COUNT, true);
    this.#port.dmaWrite(target, memory.subarray(0, count));
  }
}
