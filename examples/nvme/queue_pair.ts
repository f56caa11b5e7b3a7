/**
 * NVMe queues in DMA memory: commands go to the controller through one ring,
 * and their completions come back through another (Base Specification 2.0,
 * section 3.3).
 *
 * What is called for each command allocates nothing, makes no promise, and has
 * no bigint. So a loop can keep many commands in flight, as `measure/load.ts` does.
 *
 * @module
 */
import { acquire as acquireWord } from "../../lib/rings/mod.ts";
import type { Doorbells, QueueDoorbell } from "./doorbells.ts";
import { NvmeError } from "./error.ts";
import {
  type Command,
  COMMAND_SIZE,
  COMPLETION_SIZE,
  MAX_TRANSFER,
  PAGE,
  type QueueMemory,
  type QueueSizes,
  wholePages,
} from "./queue_shape.ts";

// A name that is imported is looked up at each call, and this one is not.
const acquire = acquireWord;

/** The phase bit, in a completion's last dword. */
const PHASE = 0x1_0000;

/**
 * What is known of each id, in words: dwords 6 to 9 of its commands, which say
 * where its data is; and its last completion, as its slot above its status and
 * a bit that is set. The word is 0 while a command is under way, and so is the
 * one behind it. The next one is of no id: such words are the list of ids that
 * were completed. One array costs fewer checks than many.
 */
const STATE = 8;
const STATE_SHIFT = 3;
const COMPLETION = 4;
/** The word, in words of 64 bits. */
const COMPLETION_PAIR = COMPLETION / 2;
const LISTED = 6;
/**
 * A load of a completion that finds nothing stores its value here. Otherwise the
 * compiler could load once for many turns of a loop.
 */
const SINK = 7;
const COMPLETED = 1;
const SLOT_SHIFT = 16;
const STATUS_SHIFT = 1;
const STATUS_MASK = 0x7fff;
const ID_MASK = 0xffff;
/**
 * The compiler sees by these that a slot, and an index of a state, are not
 * negative. Then it needs not extend their sign.
 */
const SLOT_MASK = 0x1_ffff;
const STATE_MASK = 0xf_ffff;

/** A submission and a completion queue. */
export class QueuePair implements Disposable {
  readonly #device: string;
  /** Its doorbells, and those of the controller's other queues. */
  readonly doorbells: Doorbells;
  /** Its memory: both rings, then a page of pointers for each id. */
  readonly memory: QueueMemory;
  readonly #commandBell: QueueDoorbell;
  readonly #completionBell: QueueDoorbell;
  readonly #entries: number;
  readonly #commands: Int32Array;
  /**
   * The same as words of 64 bits, as which pointers are copied: half the checks
   * of a copy by words of 32. Below 2^53 a pointer is a number without a meaning
   * of its own as a float, so that a copy is exact.
   */
  readonly #commandPairs: Float64Array;
  readonly #completions: Int32Array;
  readonly #slots: number;
  /** The pages of pointers, one for each id. */
  readonly #lists: Int32Array;
  readonly #listsIova: number;
  readonly #state: Int32Array;
  readonly #statePairs: Float64Array;
  /** The ids that nobody has taken: a stack. */
  readonly #free: Uint16Array;
  #freeCount = 0;
  /** How many completions the controller may still count as unread. */
  readonly #most: number;
  #unread = 0;
  #tail = 0;
  #rung = 0;
  #head = 0;
  /** The phase bit of a new completion. It flips when the ring starts over. */
  #phase = PHASE;
  /** The queues' number; 0 is that of the admin queue. */
  readonly id: number;
  /** Slots for commands, and for completions. */
  readonly sizes: QueueSizes;
  /** The most commands under way: their ids are below it. */
  readonly depth: number;

  /**
   * Lays the rings over memory, and begins anew.
   *
   * @param id The queues' number.
   * @param device The controller's address, for errors.
   * @param memory Memory of `queueBytes()`, which it frees in the end.
   * @param doorbells Its doorbells.
   * @param sizes How many slots there are.
   */
  constructor(
    id: number,
    device: string,
    memory: QueueMemory,
    doorbells: Doorbells,
    sizes: QueueSizes,
  ) {
    const { entries, completions, lists } = sizes;
    const depth = entries - 1;
    this.id = id;
    this.#entries = entries;
    this.#device = device;
    this.sizes = sizes;
    this.depth = depth;
    const first = wholePages(entries * COMMAND_SIZE);
    const second = wholePages(completions * COMPLETION_SIZE);
    const pages = lists ? depth * PAGE : 0;
    this.memory = memory;
    const { buffer } = memory;
    this.#commands = new Int32Array(buffer, 0, entries * COMMAND_SIZE / 4);
    this.#commandPairs = new Float64Array(buffer, 0, this.#commands.length / 2);
    this.#completions = new Int32Array(
      buffer,
      first,
      completions * COMPLETION_SIZE / 4,
    );
    this.#lists = new Int32Array(buffer, first + second, pages / 4);
    this.#listsIova = Number(this.memory.iova) + first + second;
    this.#slots = completions;
    this.#state = new Int32Array(STATE * depth);
    this.#statePairs = new Float64Array(this.#state.buffer);
    this.#free = new Uint16Array(depth);
    this.#most = completions - entries;
    this.doorbells = doorbells;
    this.#commandBell = doorbells.of(id, "commands");
    this.#completionBell = doorbells.of(id, "completions");
    this.begin();
  }

  /** The IOVA of the submission queue. */
  get commands(): bigint {
    return this.memory.iova;
  }

  /** The IOVA of the completion queue. */
  get completions(): bigint {
    const offset = wholePages(this.sizes.entries * COMMAND_SIZE);
    return this.memory.iova + BigInt(offset);
  }

  /** Both rings as words, as they lie in memory, for who stands in for it. */
  get words(): {
    readonly commands: Int32Array;
    readonly completions: Int32Array;
  } {
    return { commands: this.#commands, completions: this.#completions };
  }

  /** How many ids nobody has taken. */
  get free(): number {
    return this.#freeCount;
  }

  /** Begins anew, as the controller does when it makes the queues. */
  begin(): void {
    this.#commands.fill(0);
    this.#completions.fill(0);
    for (let id = 0; id < this.depth; id++) {
      this.#state[STATE * id + COMPLETION] = COMPLETED;
    }
    // The lowest ids are on top.
    for (let i = 0; i < this.depth; i++) this.#free[i] = this.depth - 1 - i;
    this.#freeCount = this.depth;
    this.#unread =
      this.#tail =
      this.#rung =
      this.#head =
        0;
    this.#phase = PHASE;
    if (this.id === 0) return;
    this.doorbells.begin(this.#commandBell);
    this.doorbells.begin(this.#completionBell);
  }

  /** Takes an id for commands, or returns -1 if all are taken. */
  take(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount]!;
  }

  /** Gives an id back. Its command must be over. */
  give(id: number): void {
    this.#free[this.#freeCount++] = id;
  }

  /**
   * Says where the data of an id's commands is. It stays so until it is changed.
   *
   * @param id The id.
   * @param iova Where the data begins, a multiple of 4.
   * @param bytes Its length.
   * @throws {RangeError} If it is more than a command of this queue transfers.
   */
  bind(id: number, iova: number, bytes: number): void {
    const first = PAGE - (iova & PAGE - 1);
    const most = this.sizes.lists ? MAX_TRANSFER : first + PAGE;
    if (bytes > most || (iova & 3) !== 0) {
      throw new RangeError(
        `Cannot transfer ${bytes} bytes at 0x${iova.toString(16)}: expected ` +
          `at most ${most}, at a multiple of 4`,
      );
    }
    let second = 0;
    if (bytes > first + PAGE) {
      second = this.#listsIova + id * PAGE;
      const lists = this.#lists;
      let at = id * PAGE / 4;
      for (let done = first; done < bytes; done += PAGE, at += 2) {
        lists[at] = iova + done;
        lists[at + 1] = (iova + done) / 2 ** 32;
      }
    } else if (bytes > first) second = iova + first;
    const state = this.#state;
    state[STATE * id] = iova;
    state[STATE * id + 1] = iova / 2 ** 32;
    state[STATE * id + 2] = second;
    state[STATE * id + 3] = second / 2 ** 32;
  }

  /**
   * Puts a command for blocks into the ring. The controller sees it at the next
   * {@linkcode QueuePair.ring}.
   *
   * @param id An id that was taken, whose last command is over.
   * @param opcode The kind of command.
   * @param namespace The namespace's number.
   * @param block The first block.
   * @param dword12 One less than the number of blocks, and flags.
   */
  submit(
    id: number,
    opcode: number,
    namespace: number,
    block: number,
    dword12: number,
  ): void {
    const commands = this.#commands;
    const pairs = this.#commandPairs;
    const pointers = this.#statePairs;
    const tail = this.#tail & SLOT_MASK;
    // Unlike a sum, an offset by `|` needs no check for an overflow.
    const at = tail << 4;
    const from = (id & ID_MASK) << 2;
    pointers[from | COMPLETION_PAIR] = 0;
    // The other dwords are 0 in every command of such a queue.
    commands[at] = opcode | id << 16;
    commands[at | 1] = namespace;
    pairs[tail << 3 | 3] = pointers[from]!;
    pairs[tail << 3 | 4] = pointers[from | 1]!;
    commands[at | 10] = block;
    commands[at | 11] = block < 0x8000_0000 ? 0 : block / 2 ** 32;
    commands[at | 12] = dword12;
    const next = tail + 1 | 0;
    this.#tail = next === this.#entries ? 0 : next;
  }

  /** Puts any command into the ring: an admin queue's. */
  submitCommand(id: number, command: Command): void {
    const { opcode, namespace = 0, dwords = [] } = command;
    const at = this.#tail << 4;
    this.submit(id, opcode, namespace, 0, 0);
    for (let i = 0; i < 6; i++) this.#commands[at + 10 + i] = dwords[i] ?? 0;
  }

  /** Has the controller see the commands in the ring. */
  ring(): void {
    const tail = this.#tail;
    if (tail === this.#rung) return;
    this.#rung = tail;
    this.#commandBell.ring(tail);
  }

  /**
   * Looks for a completion.
   *
   * @param times How often, at most.
   * @returns Whether there is one.
   */
  spin(times: number): boolean {
    const completions = this.#completions;
    const state = this.#state;
    const phase = this.#phase;
    const at = this.#head << 2 | 3;
    for (let i = 0; i < times; i++) {
      const last = state[SINK] = completions[at]!;
      if ((last & PHASE) === phase) return true;
    }
    return false;
  }

  /**
   * Takes out all completions that are there: {@linkcode QueuePair.completed}
   * says of which commands they are.
   *
   * @returns How many there are.
   * @throws {NvmeError} `PROTOCOL` at an id of which no command is under way.
   */
  reap(): number {
    const completions = this.#completions;
    const state = this.#state;
    const slots = this.#slots;
    let head = this.#head;
    let phase = this.#phase;
    let next = LISTED;
    // It ends, as no more commands complete than are under way.
    while (true) {
      const last = completions[head << 2 | 3]!;
      if ((last & PHASE) !== phase) {
        state[SINK] = last;
        break;
      }
      const id = last & ID_MASK;
      const at = id << STATE_SHIFT | COMPLETION;
      if (state[at] !== 0) this.#refuse(id);
      state[at] = head << SLOT_SHIFT | last >>> 16 | COMPLETED;
      state[next] = id;
      next = next + STATE & STATE_MASK;
      head = head + 1 & SLOT_MASK;
      if (head === slots) {
        head = 0;
        phase ^= PHASE;
      }
    }
    const count = next >> STATE_SHIFT;
    if (count === 0) return 0;
    // What the commands have read is loaded after this.
    acquire(completions, ((head || slots) << 2) - 1);
    this.#head = head;
    this.#phase = phase;
    const unread = this.#unread + count;
    this.#unread = unread;
    if (unread > this.#most) this.#acknowledge();
    return count;
  }

  /**
   * The id of a command that the last {@linkcode QueuePair.reap} has found.
   *
   * @param index Which one, from 0.
   */
  completed(index: number): number {
    return this.#state[index << STATE_SHIFT | LISTED]!;
  }

  /** The status of an id's last completion: 0 is success. */
  status(id: number): number {
    return this.#state[(id << STATE_SHIFT) + COMPLETION]! >>> STATUS_SHIFT &
      STATUS_MASK;
  }

  /** The first dword of an id's completion, until more commands are reaped. */
  result(id: number): number {
    const slot = this.#state[(id << STATE_SHIFT) + COMPLETION]! >>> SLOT_SHIFT;
    return this.#completions[slot << 2]! >>> 0;
  }

  /** Frees the rings. The controller must not use them any more. */
  [Symbol.dispose](): void {
    this.doorbells.drop(this.#commandBell);
    this.doorbells.drop(this.#completionBell);
    this.memory.free();
  }

  /** Tells the controller that the slots of completions are free. */
  #acknowledge(): void {
    this.#unread = 0;
    this.#completionBell.ring(this.#head);
  }

  #refuse(id: number): never {
    throw new NvmeError("PROTOCOL", {
      device: this.#device,
      problem: `queue ${this.id} completed command ${id}, which is not ` +
        "under way",
    });
  }
}
