import type { Bar, DeviceKind, DeviceModel, DevicePort } from "../model.ts";
import { ABORTED, NvmeCommands, type NvmeState, VECTORS } from "./commands.ts";
import { NvmeDisk } from "./disk.ts";
import type { NvmeCommand, NvmeFaults } from "./faults.ts";
import { CommandRing, CompletionRing } from "./rings.ts";

// Registers (Base Specification 2.0, section 3.1)
const CAP = 0x00;
const VERSION = 0x08;
const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;
const DOORBELLS = 0x1000;

const CC_ENABLE = 1;
const CC_SHUTDOWN = 3 << 14;
const CSTS_READY = 1;
const CSTS_SHUTDOWN_COMPLETE = 2 << 2;
/** It starts and stops within two times 500 ms. */
const TIMEOUT = 2 << 24;
/** Rings are contiguous. */
const CONTIGUOUS = 1 << 16;
/** The NVM command set, in the upper half. */
const NVM_COMMANDS = 1 << 5;

/** How a simulated NVMe controller is. */
export interface NvmeOptions {
  /**
   * How many blocks its namespace has.
   *
   * @default {16384}
   */
  readonly blocks?: number;
  /**
   * Bytes in a block.
   *
   * @default {512}
   */
  readonly blockSize?: number;
  /**
   * How many queues it has beside the admin queue.
   *
   * @default {16}
   */
  readonly queues?: number;
  /** What it does wrong. It can be changed while the controller runs. */
  readonly faults?: NvmeFaults;
}

/**
 * Makes a kind of NVMe controllers: one namespace, MSI-X, doorbells in memory
 * where the driver wants them. They carry out a command when its doorbell rings.
 *
 * @param options How they are.
 *
 * @example A controller that does not answer to reads
 * ```ts
 * import { nvme, simulate } from "@passthru/vfio/sim";
 *
 * const model = nvme({
 *   faults: { onCommand: ({ opcode }) => opcode === 2 ? "hold" : undefined },
 * });
 * const host = simulate({ functions: { "0000:01:00.0": { model } } });
 * console.log(host.functions().length); // => 1
 * ```
 */
export function nvme(options: NvmeOptions = {}): DeviceKind {
  return {
    name: "nvme",
    id: "1b36:0010",
    class: 0x010802,
    resets: ["flr"],
    create: (port) => new Nvme(port, options),
  };
}

class Nvme implements DeviceModel {
  readonly msi = 0;
  readonly msix = VECTORS;
  readonly intx = true;
  readonly bars: readonly (Bar | undefined)[];
  readonly #port: DevicePort;
  readonly #faults: NvmeFaults;
  readonly #maxEntries = 2048;
  readonly #state: NvmeState = {
    commands: new Map(),
    completions: new Map(),
    shadow: undefined,
  };
  readonly #commands: NvmeCommands;
  /** Commands that are not answered until they are aborted. */
  readonly #held: NvmeCommand[] = [];
  readonly #registers = new Map<number, number>();

  constructor(port: DevicePort, options: NvmeOptions) {
    const { blocks = 16384, blockSize = 512, queues = 16, faults = {} } =
      options;
    this.#port = port;
    this.#faults = faults;
    this.#commands = new NvmeCommands({
      ...{ port, queues, faults, maxEntries: this.#maxEntries },
      disk: new NvmeDisk(blocks, blockSize),
      abort: (queue, id) => this.#abort(queue, id),
    }, this.#state);
    const registers: Bar = {
      size: 0x4000,
      mappable: true,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    };
    // For the table of its vectors, which the driver does not touch.
    const table: Bar = {
      size: 0x1000,
      mappable: true,
      read: () => 0n,
      write: () => {},
    };
    this.bars = [registers, undefined, undefined, undefined, table];
  }

  reset(): void {
    this.#registers.clear();
    this.#stop();
  }

  #read(offset: number, width: number): bigint {
    if (this.#faults.removed) return (1n << BigInt(8 * width)) - 1n;
    if (width === 8) {
      return this.#read(offset, 4) | this.#read(offset + 4, 4) << 32n;
    }
    const value = this.#register(offset);
    return BigInt((this.#faults.onRead?.(offset, value) ?? value) >>> 0);
  }

  #register(offset: number): number {
    switch (offset) {
      case CAP:
        return this.#maxEntries - 1 | CONTIGUOUS | TIMEOUT;
      case CAP + 4:
        return NVM_COMMANDS;
      case VERSION:
        return 0x0001_0400;
      default:
        return this.#registers.get(offset) ?? 0;
    }
  }

  #write(offset: number, width: number, value: bigint): void {
    if (this.#faults.removed) return;
    if (width === 8) {
      this.#write(offset, 4, value & 0xffff_ffffn);
      this.#write(offset + 4, 4, value >> 32n);
      return;
    }
    const word = Number(value);
    if (offset >= DOORBELLS) return this.#ring((offset - DOORBELLS) / 4, word);
    switch (offset) {
      case CC:
        this.#configure(word);
        return;
      case AQA:
      case ASQ:
      case ASQ + 4:
      case ACQ:
      case ACQ + 4:
        this.#registers.set(offset, word);
    }
  }

  #configure(value: number): void {
    const wasEnabled = (this.#register(CC) & CC_ENABLE) !== 0;
    const isEnabled = (value & CC_ENABLE) !== 0;
    this.#registers.set(CC, value);
    if (isEnabled && !wasEnabled) this.#start();
    if (!isEnabled) this.#stop();
    this.#registers.set(
      CSTS,
      (isEnabled ? CSTS_READY : 0) |
        ((value & CC_SHUTDOWN) === 0 ? 0 : CSTS_SHUTDOWN_COMPLETE),
    );
  }

  #start(): void {
    const sizes = this.#register(AQA);
    const address = (at: number) =>
      BigInt(this.#register(at)) | BigInt(this.#register(at + 4)) << 32n;
    const none = () => undefined;
    const completions = new CompletionRing(
      this.#port,
      0,
      address(ACQ),
      (sizes >>> 16 & 0xfff) + 1,
      0,
      none,
    );
    this.#state.completions.set(0, completions);
    this.#state.commands.set(
      0,
      new CommandRing(
        this.#port,
        0,
        address(ASQ),
        (sizes & 0xfff) + 1,
        completions,
        none,
      ),
    );
  }

  #stop(): void {
    this.#state.commands.clear();
    this.#state.completions.clear();
    this.#state.shadow = undefined;
    this.#held.length = 0;
  }

  #ring(doorbell: number, value: number): void {
    const id = doorbell >>> 1;
    if ((doorbell & 1) !== 0) {
      this.#state.completions.get(id)?.rung(value);
      return;
    }
    const ring = this.#state.commands.get(id);
    for (const command of ring?.rung(value) ?? []) this.#run(command);
  }

  #run(command: NvmeCommand): void {
    const fault = this.#faults.onCommand?.(command);
    if (fault === "ignore" || this.#faults.removed) return;
    if (fault === "hold") {
      this.#held.push(command);
      return;
    }
    const [status, result = 0] = typeof fault === "number"
      ? [fault]
      : this.#commands.run(command);
    this.#complete(command, status, result);
  }

  #complete(command: NvmeCommand, status: number, result: number): void {
    const ring = this.#state.commands.get(command.queue);
    if (ring === undefined) return;
    const right = { id: command.id, status, result };
    const completion = this.#faults.onCompletion?.(right, command) ?? right;
    ring.completions.post(completion, ring);
  }

  #abort(queue: number, id: number): boolean {
    const index = this.#held.findIndex((command) =>
      command.queue === queue && command.id === id
    );
    if (index < 0) return false;
    const [command] = this.#held.splice(index, 1);
    this.#complete(command!, ABORTED, 0);
    return true;
  }
}
