import type { EventSource } from "../../kernel/kernel.ts";
import type { Consumer, Hub } from "./vector_counts.ts";

/** How an eventfd is waited for. */
type Wait = "not" | "in background" | "awaited";

/** Waits for an eventfd where and as long as a consumer does. */
export class VectorWaits implements Hub {
  readonly #source: EventSource;
  readonly #errorOf: (error: unknown) => unknown;
  readonly #consumers = new Set<Consumer>();
  #wait: Wait = "not";
  #isOver = false;

  /**
   * @param source The eventfd.
   * @param errorOf Makes the error of a wait that failed.
   */
  constructor(source: EventSource, errorOf: (error: unknown) => unknown) {
    this.#source = source;
    this.#errorOf = errorOf;
  }

  /** Adds a consumer. */
  add(consumer: Consumer): void {
    this.#consumers.add(consumer);
    this.changed();
  }

  remove(consumer: Consumer): void {
    if (this.#consumers.delete(consumer)) this.changed();
  }

  changed(): void {
    const wait = this.#wanted();
    if (wait === this.#wait || this.#isOver) return;
    try {
      if (this.#wait !== "not") this.#source.disarm();
      this.#wait = "not";
      if (wait === "not") return;
      this.#source.arm(this.#ready, wait === "in background");
      this.#wait = wait;
    } catch (error) {
      this.#end(this.#errorOf(error));
    }
  }

  /**
   * Ends all that waits.
   *
   * @returns Done when nothing of it is left, where that takes time.
   */
  close(): Promise<void> | void {
    this.#isOver = true;
    this.#end();
    return this.#source.release();
  }

  #wanted(): Wait {
    let wait: Wait = "not";
    for (const { isWaiting, inBackground } of this.#consumers) {
      if (!isWaiting) continue;
      if (!inBackground) return "awaited";
      wait = "in background";
    }
    return wait;
  }

  // An error that leaves a callback ends the process.
  readonly #ready = (): void => {
    this.#wait = "not";
    try {
      const count = this.#source.read();
      if (count !== undefined) {
        for (const consumer of this.#consumers) consumer.deliver(count);
      }
    } catch (error) {
      this.#end(this.#errorOf(error));
      return;
    }
    this.changed();
  };

  #end(error?: unknown): void {
    const consumers = [...this.#consumers];
    this.#consumers.clear();
    for (const consumer of consumers) consumer.end(error);
    this.changed();
  }
}
