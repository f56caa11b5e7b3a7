/**
 * The commands of a simulated NVMe controller.
 *
 * @module
 */

import type { DevicePort } from "../model.ts";
import { address, dataOf } from "./data.ts";
import type { NvmeDisk } from "./disk.ts";
import type { NvmeCommand, NvmeFaults } from "./faults.ts";
import { CommandRing, CompletionRing, type Shadow } from "./rings.ts";

// Statuses (Base Specification 2.0, figures 95 and 96)
const SUCCESS = 0x000;
const INVALID_OPCODE = 0x001;
const INVALID_FIELD = 0x002;
const TRANSFER_ERROR = 0x004;
/** A command was aborted by request. */
export const ABORTED = 0x007;
const INVALID_NAMESPACE = 0x00b;
const INVALID_PRP = 0x013;
const OUT_OF_RANGE = 0x080;
const INVALID_COMPLETION_QUEUE = 0x100;
const INVALID_QUEUE = 0x101;
const INVALID_QUEUE_SIZE = 0x102;
const INVALID_VECTOR = 0x108;
const INVALID_LOG_PAGE = 0x109;
const INVALID_DELETION = 0x10c;

const PAGE = 4096;
/** The largest transfer is 2^7 pages. */
const MAX_TRANSFER = 7;
/** Vectors of MSI-X. */
export const VECTORS = 8;

/** The outcome of a command: its status, and the first dword. */
type Outcome = readonly [status: number, result?: number];

/** The state that commands change. */
export interface NvmeState {
  /** Its rings of commands, by number. */
  readonly commands: Map<number, CommandRing>;
  /** Its rings of completions, by number. */
  readonly completions: Map<number, CompletionRing>;
  /** Its doorbells in memory. */
  shadow: Shadow | undefined;
}

/** What does not change. */
export interface NvmeParts {
  /** The bus. */
  readonly port: DevicePort;
  /** Its only namespace, 1. */
  readonly disk: NvmeDisk;
  /** How many queues it has beside the admin queue. */
  readonly queues: number;
  /** The most slots in a ring. */
  readonly maxEntries: number;
  /** What it does wrong. */
  readonly faults: NvmeFaults;
  /** Aborts a command that is held, and returns whether there was one. */
  abort(queue: number, id: number): boolean;
}

/** Carries out commands. */
export class NvmeCommands {
  readonly #parts: NvmeParts;
  readonly #state: NvmeState;

  /**
   * @param parts What does not change.
   * @param state What commands change.
   */
  constructor(parts: NvmeParts, state: NvmeState) {
    this.#parts = parts;
    this.#state = state;
  }

  /** Carries out a command. */
  run(command: NvmeCommand): Outcome {
    return command.queue === 0 ? this.#admin(command) : this.#io(command);
  }

  #admin(command: NvmeCommand): Outcome {
    const { dwords } = command;
    switch (command.opcode) {
      case 0x00:
        return [this.#deleteCommands(dwords[10]! & 0xffff)];
      case 0x01:
        return [this.#createCommands(dwords)];
      case 0x02:
        return [this.#logPage(command)];
      case 0x04:
        return [this.#deleteCompletions(dwords[10]! & 0xffff)];
      case 0x05:
        return [this.#createCompletions(dwords)];
      case 0x06:
        return [this.#identify(command)];
      case 0x08: {
        const id = dwords[10]! >>> 16;
        const isAborted = this.#parts.abort(dwords[10]! & 0xffff, id);
        return [SUCCESS, isAborted ? 0 : 1];
      }
      case 0x09: {
        // The number of queues
        if ((dwords[10]! & 0xff) !== 7) return [INVALID_FIELD];
        const most = this.#parts.queues - 1;
        return [SUCCESS, most << 16 | most];
      }
      case 0x7c:
        this.#state.shadow = {
          doorbells: address(dwords, 6),
          events: address(dwords, 8),
        };
        return [SUCCESS];
      default:
        return [INVALID_OPCODE];
    }
  }

  #io(command: NvmeCommand): Outcome {
    const { opcode, dwords } = command;
    const { disk } = this.#parts;
    if (dwords[1] !== 1) return [INVALID_NAMESPACE];
    if (opcode === 0x00) return [SUCCESS];
    if (opcode !== 0x01 && opcode !== 0x02) return [INVALID_OPCODE];
    const block = dwords[10]! + 2 ** 32 * dwords[11]!;
    const count = (dwords[12]! & 0xffff) + 1;
    if (block + count > disk.blocks) return [OUT_OF_RANGE];
    const data = new Uint8Array(count * disk.blockSize);
    if (data.length > PAGE * 2 ** MAX_TRANSFER) return [INVALID_FIELD];
    if (opcode === 0x02) {
      disk.read(block, data);
      return [this.#give(command, data)];
    }
    const status = this.#take(command, data);
    if (status === SUCCESS) disk.write(block, data);
    return [status];
  }

  #identify(command: NvmeCommand): number {
    const data = new Uint8Array(PAGE);
    const view = new DataView(data.buffer);
    const { disk } = this.#parts;
    const text = (at: number, length: number, value: string) =>
      data.set(new TextEncoder().encode(value.padEnd(length)), at);
    switch (command.dwords[10]! & 0xff) {
      case 0:
        if (command.dwords[1] !== 1) return INVALID_NAMESPACE;
        view.setBigUint64(0, BigInt(disk.blocks), true);
        view.setBigUint64(8, BigInt(disk.blocks), true);
        view.setUint8(130, Math.log2(disk.blockSize));
        break;
      case 1:
        text(4, 20, "simulated");
        text(24, 40, "Simulated NVMe");
        text(64, 8, "1.0");
        view.setUint8(77, MAX_TRANSFER);
        view.setUint16(256, 0x100, true); // doorbells in memory
        view.setUint32(516, 1, true);
        break;
      case 2:
        if (command.dwords[1]! < 1) view.setUint32(0, 1, true);
        break;
      default:
        return INVALID_FIELD;
    }
    return this.#give(command, data);
  }

  #logPage(command: NvmeCommand): number {
    const { dwords } = command;
    if ((dwords[10]! & 0xff) !== 2) return INVALID_LOG_PAGE;
    const page = new Uint8Array(512);
    const view = new DataView(page.buffer);
    view.setUint16(1, 273 + 40, true);
    view.setUint8(3, 100); // spare blocks
    view.setUint8(4, 10);
    const data = new Uint8Array(((dwords[10]! >>> 16) + 1) * 4);
    data.set(page.subarray(0, data.length));
    return this.#give(command, data);
  }

  #createCompletions(dwords: Uint32Array): number {
    const { port, queues } = this.#parts;
    const { completions } = this.#state;
    const id = dwords[10]! & 0xffff;
    const flags = dwords[11]!;
    if (id < 1 || id > queues || completions.has(id)) return INVALID_QUEUE;
    const size = this.#size(dwords);
    if (size === undefined) return INVALID_QUEUE_SIZE;
    if ((flags & 1) === 0) return INVALID_FIELD;
    if (flags >>> 16 >= VECTORS) return INVALID_VECTOR;
    const vector = (flags & 2) === 0 ? undefined : flags >>> 16;
    const base = address(dwords, 6);
    completions.set(
      id,
      new CompletionRing(
        port,
        id,
        base,
        size,
        vector,
        () => this.#state.shadow,
      ),
    );
    return SUCCESS;
  }

  #createCommands(dwords: Uint32Array): number {
    const { port, queues } = this.#parts;
    const { commands, completions } = this.#state;
    const id = dwords[10]! & 0xffff;
    if (id < 1 || id > queues || commands.has(id)) return INVALID_QUEUE;
    const ring = completions.get(dwords[11]! >>> 16);
    if (dwords[11]! >>> 16 === 0 || ring === undefined) {
      return INVALID_COMPLETION_QUEUE;
    }
    const size = this.#size(dwords);
    if (size === undefined) return INVALID_QUEUE_SIZE;
    const base = address(dwords, 6);
    commands.set(
      id,
      new CommandRing(port, id, base, size, ring, () => this.#state.shadow),
    );
    return SUCCESS;
  }

  #deleteCommands(id: number): number {
    const { commands } = this.#state;
    const ring = commands.get(id);
    if (id === 0 || ring === undefined) return INVALID_QUEUE;
    ring.completions.users--;
    commands.delete(id);
    return SUCCESS;
  }

  #deleteCompletions(id: number): number {
    const { completions } = this.#state;
    const ring = completions.get(id);
    if (id === 0 || ring === undefined) return INVALID_QUEUE;
    if (ring.users > 0) return INVALID_DELETION;
    completions.delete(id);
    return SUCCESS;
  }

  /** The size of a ring that is to be made. */
  #size(dwords: Uint32Array): number | undefined {
    const size = (dwords[10]! >>> 16) + 1;
    return size < 2 || size > this.#parts.maxEntries ? undefined : size;
  }

  /** Writes data to memory. */
  #give(command: NvmeCommand, data: Uint8Array): number {
    const { port, faults } = this.#parts;
    faults.onData?.(data, command);
    return this.#transfer(
      command,
      data,
      (iova, part) => port.dmaWrite(iova, part),
    );
  }

  /** Reads data from memory. */
  #take(command: NvmeCommand, data: Uint8Array): number {
    const { port } = this.#parts;
    return this.#transfer(
      command,
      data,
      (iova, part) => port.dmaRead(iova, part),
    );
  }

  #transfer(
    { dwords }: NvmeCommand,
    data: Uint8Array,
    move: (iova: bigint, part: Uint8Array) => boolean,
  ): number {
    const parts = dataOf(this.#parts.port, dwords, data.length);
    if (parts === undefined) return INVALID_PRP;
    let done = 0;
    let isComplete = true;
    for (const [iova, bytes] of parts) {
      isComplete = move(iova, data.subarray(done, done + bytes)) && isComplete;
      done += bytes;
    }
    return isComplete ? SUCCESS : TRANSFER_ERROR;
  }
}
