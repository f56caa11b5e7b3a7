/**
 * The doorbells of NVMe queues, in registers or in memory.
 *
 * A controller that emulation makes traps each write to a register, so it
 * offers shadow doorbells (Base Specification 2.0, section 8.8): the driver
 * writes the doorbell to memory, and to the register only where the controller
 * has asked for that by an index of its own.
 *
 * @module
 */
import type { AddressSpace, DmaMemory } from "../../mod.ts";
import { Doorbell, publish } from "../../lib/rings/mod.ts";
import { type DoorbellRegisters, DOORBELLS } from "./registers.ts";

const PAGE = 4096;

/** Memory of shadow doorbells: a page of them, a page of the indexes. */
type ShadowMemory = Pick<DmaMemory, "buffer">;

/** All doorbells of a controller. */
export class Doorbells implements Disposable {
  readonly #registers: DoorbellRegisters;
  #shadow: DmaMemory | undefined;
  #isShadowUsed = false;
  /** The memory of shadow doorbells that another thread has allocated. */
  readonly #adopted: ShadowMemory | undefined;
  #given: QueueDoorbell[] = [];

  /**
   * @param registers The controller's registers.
   * @param shadow The memory of the shadow doorbells, where the controller uses
   * them already: a Worker's.
   */
  constructor(registers: DoorbellRegisters, shadow?: ShadowMemory) {
    this.#registers = registers;
    this.#adopted = shadow;
  }

  /**
   * Returns a doorbell.
   *
   * @param queue The queue's number.
   * @param which Which of its two.
   */
  of(queue: number, which: "commands" | "completions"): QueueDoorbell {
    const index = 2 * queue + (which === "commands" ? 0 : 1);
    const { bar, stride } = this.#registers;
    const doorbell = new QueueDoorbell(
      new Doorbell(bar, DOORBELLS + index * stride),
      index * stride / 4,
    );
    // The controller reads the admin queue's doorbells from the registers.
    if (queue !== 0) this.#given.push(doorbell);
    return doorbell;
  }

  /**
   * Allocates the memory of shadow doorbells.
   *
   * @returns The IOVAs of the doorbells, and of the controller's indexes.
   */
  allocate(space: AddressSpace): readonly [doorbells: bigint, events: bigint] {
    this.#shadow ??= space.allocate(2 * PAGE);
    this.#shadow.bytes.fill(0);
    return [this.#shadow.iova, this.#shadow.slice(PAGE).iova];
  }

  /** The memory of the shadow doorbells, while they are used. */
  get shadow(): DmaMemory | undefined {
    return this.#isShadowUsed ? this.#shadow : undefined;
  }

  /** Bytes from one doorbell's register to the next. */
  get stride(): number {
    return this.#registers.stride;
  }

  /** Uses the shadow doorbells, or the registers. */
  useShadow(isUsed: boolean): void {
    this.#isShadowUsed = isUsed;
    for (const doorbell of this.#given) this.begin(doorbell);
  }

  /** Begins a doorbell anew, as its queue is new. */
  begin(doorbell: QueueDoorbell): void {
    doorbell.begin(this.shadow ?? this.#adopted);
  }

  /** Forgets a doorbell, as its queue is gone. */
  drop(doorbell: QueueDoorbell): void {
    this.#given = this.#given.filter((other) => other !== doorbell);
  }

  [Symbol.dispose](): void {
    this.useShadow(false);
    this.#shadow?.free();
    this.#shadow = undefined;
  }
}

/** A doorbell of a queue. */
export class QueueDoorbell {
  readonly #register: Doorbell;
  /** Its place in the shadow's pages, in words. */
  readonly #index: number;
  #shadow: Int32Array | undefined;
  #events: Int32Array | undefined;
  #last = 0;

  /** Made by `Doorbells.of`. */
  constructor(register: Doorbell, index: number) {
    this.#register = register;
    this.#index = index;
  }

  /** Begins anew, in memory or in the register. */
  begin(memory: ShadowMemory | undefined): void {
    this.#last = 0;
    const isInside = this.#index < PAGE / 4;
    if (memory === undefined || !isInside) {
      this.#shadow = this.#events = undefined;
      return;
    }
    this.#shadow = new Int32Array(memory.buffer, 0, PAGE / 4);
    this.#events = new Int32Array(memory.buffer, PAGE, PAGE / 4);
    this.#shadow[this.#index] = this.#events[this.#index] = 0;
  }

  /** Tells the controller how far the ring is filled, or emptied. */
  ring(slot: number): void {
    const shadow = this.#shadow;
    if (shadow === undefined) this.#register.ring(slot);
    else this.#ringShadow(shadow, slot);
  }

  // A function of its own, so that the other one is small enough to be inlined.
  #ringShadow(shadow: Int32Array, slot: number): void {
    const last = this.#last;
    this.#last = slot;
    publish();
    // The store comes before the load: on x86-64 it is a locked instruction,
    // and on arm64 these two keep their order.
    Atomics.store(shadow, this.#index, slot);
    const event = Atomics.load(this.#events!, this.#index);
    // `nvme_dbbuf_need_event()` of Linux's driver.
    if ((slot - event - 1 & 0xffff) < (slot - last & 0xffff)) {
      this.#register.ring(slot);
    }
  }
}
