import type { DevicePort } from "../model.ts";
import type { NvmeCommand, NvmeCompletion } from "./faults.ts";

/** Bytes of a command, and of its completion. */
const COMMAND_SIZE = 64;
const COMPLETION_SIZE = 16;

/** Doorbells in memory: the IOVAs of two pages. */
export interface Shadow {
  /** Where the driver writes its doorbells. */
  readonly doorbells: bigint;
  /** Where the controller writes at which value it wants to be told. */
  readonly events: bigint;
}

/** An index of a ring that the driver moves. */
class DriverIndex {
  readonly #port: DevicePort;
  readonly #place: bigint;
  readonly #shadow: () => Shadow | undefined;
  value = 0;

  constructor(
    port: DevicePort,
    doorbell: number,
    shadow: () => Shadow | undefined,
  ) {
    this.#port = port;
    this.#place = BigInt(4 * doorbell);
    this.#shadow = shadow;
  }

  /** Reads it from memory, where it is there, and asks to be told of the next. */
  update(): void {
    const shadow = this.#shadow();
    if (shadow === undefined) return;
    const word = new Uint32Array(1);
    const bytes = new Uint8Array(word.buffer);
    this.#port.dmaRead(shadow.doorbells + this.#place, bytes);
    this.value = word[0]!;
    this.#port.dmaWrite(shadow.events + this.#place, bytes);
  }
}

/** A ring of completions. */
export class CompletionRing {
  readonly #port: DevicePort;
  readonly #base: bigint;
  readonly #vector: number | undefined;
  readonly #size: number;
  readonly #head: DriverIndex;
  readonly #waiting: (readonly [NvmeCompletion, CompletionSource])[] = [];
  #tail = 0;
  #phase = 1;
  /** How many rings of commands use it. */
  users = 0;

  /**
   * Makes a ring.
   *
   * @param port The bus.
   * @param id Its number.
   * @param base The IOVA of its slots.
   * @param size How many there are.
   * @param vector Its interrupt, if it has one.
   * @param shadow Doorbells in memory, where they are in use.
   */
  constructor(
    port: DevicePort,
    id: number,
    base: bigint,
    size: number,
    vector: number | undefined,
    shadow: () => Shadow | undefined,
  ) {
    this.#port = port;
    this.#base = base;
    this.#size = size;
    this.#vector = vector;
    this.#head = new DriverIndex(port, 2 * id + 1, shadow);
  }

  /** The driver has read so far. */
  rung(head: number): void {
    this.#head.value = head;
    this.#head.update();
    this.#flush();
  }

  /** Posts a completion, once there is room. */
  post(completion: NvmeCompletion, source: CompletionSource): void {
    this.#waiting.push([completion, source]);
    this.#flush();
  }

  #flush(): void {
    let posted = false;
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      const following = (this.#tail + 1) % this.#size;
      if (following === this.#head.value) this.#head.update();
      if (following === this.#head.value) break;
      this.#waiting.shift();
      const [{ id, status, result }, { id: queue, head }] = next;
      const words = new Uint32Array([
        result,
        0,
        queue << 16 | head,
        id & 0xffff | this.#phase << 16 | status << 17,
      ]);
      const slot = this.#base + BigInt(this.#tail * COMPLETION_SIZE);
      this.#port.dmaWrite(slot, new Uint8Array(words.buffer));
      this.#tail = following;
      if (following === 0) this.#phase ^= 1;
      posted = true;
    }
    if (posted && this.#vector !== undefined) {
      this.#port.interrupt(this.#vector);
    }
  }
}

/** What a completion tells of its ring of commands. */
interface CompletionSource {
  /** The ring's number. */
  readonly id: number;
  /** How far it was read. */
  readonly head: number;
}

/** A ring of commands. */
export class CommandRing implements CompletionSource {
  readonly #port: DevicePort;
  readonly #base: bigint;
  readonly #size: number;
  readonly #tail: DriverIndex;
  /** Where its completions go. */
  readonly completions: CompletionRing;
  /** Its number. */
  readonly id: number;
  /** The slot of the next command. */
  head = 0;

  /**
   * Makes a ring.
   *
   * @param port The bus.
   * @param id Its number.
   * @param base The IOVA of its slots.
   * @param size How many there are.
   * @param completions Where its completions go.
   * @param shadow Doorbells in memory, where they are in use.
   */
  constructor(
    port: DevicePort,
    id: number,
    base: bigint,
    size: number,
    completions: CompletionRing,
    shadow: () => Shadow | undefined,
  ) {
    this.#port = port;
    this.id = id;
    this.#base = base;
    this.#size = size;
    this.completions = completions;
    this.#tail = new DriverIndex(port, 2 * id, shadow);
    completions.users++;
  }

  /** Takes out the commands up to a slot that the driver has named. */
  *rung(tail: number): Generator<NvmeCommand> {
    this.#tail.value = tail;
    this.#tail.update();
    while (this.head !== this.#tail.value && this.#tail.value < this.#size) {
      const dwords = new Uint32Array(COMMAND_SIZE / 4);
      const slot = this.#base + BigInt(this.head * COMMAND_SIZE);
      this.#port.dmaRead(slot, new Uint8Array(dwords.buffer));
      this.head = (this.head + 1) % this.#size;
      yield {
        queue: this.id,
        id: dwords[0]! >>> 16,
        opcode: dwords[0]! & 0xff,
        dwords,
      };
      if (this.head === this.#tail.value) this.#tail.update();
    }
  }
}
