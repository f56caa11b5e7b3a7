/**
 * How a queue waits for completions.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { IrqVector } from "../../mod.ts";

/**
 * - `"poll"` looks again and again, which takes a processor for as long as
 *   commands are under way. The event loop goes on meanwhile.
 * - `"interrupt"` sleeps until the controller interrupts.
 * - `"hybrid"` looks for about as long as a wake would take, then sleeps.
 */
export type Wait = "poll" | "interrupt" | "hybrid";

/** What is waited for. */
export interface Awaited {
  /** How many commands are under way. */
  readonly pending: number;
  /** Looks for a completion so many times, and returns whether there is one. */
  spin(times: number): boolean;
  /** Takes out what there is. */
  reap(): void;
}

/** How often it looks before other work gets its turn: about 10 µs. */
const LOOKS = 5000;
/** How many turns a hybrid queue looks for: about 50 µs. */
const HYBRID_TURNS = 4;
/** After so many turns an admin command is one that takes long. */
const PATIENCE = 1000;

/** Waits for completions. */
export interface Waiter {
  /** Commands are under way: wait for them. */
  start(): void;
  /** Ends it. */
  stop(): void;
}

/**
 * Makes what waits.
 *
 * @param wait How.
 * @param awaited What for.
 * @param vector The interrupt, unless it polls.
 */
export function makeWaiter(
  wait: Wait,
  awaited: Awaited,
  vector: IrqVector | undefined,
): Waiter {
  if (wait === "poll") return new Poller(awaited, Infinity);
  if (vector === undefined) {
    throw new TypeError(`Cannot wait by ${wait}: the queue has no interrupt`);
  }
  const turns = wait === "hybrid" ? HYBRID_TURNS : 0;
  return new Sleeper(awaited, vector, turns);
}

/** Makes what waits for admin commands, which can take minutes. */
export function makeAdminWaiter(awaited: Awaited): Waiter {
  return new Poller(awaited, PATIENCE);
}

/** Looks until nothing is under way. */
class Poller implements Waiter {
  readonly #awaited: Awaited;
  readonly #patience: number;
  #isRunning = false;
  #turns = 0;

  /** @param patience After how many turns it pauses between two looks. */
  constructor(awaited: Awaited, patience: number) {
    this.#awaited = awaited;
    this.#patience = patience;
  }

  start(): void {
    this.#turns = 0;
    if (this.#isRunning) return;
    this.#isRunning = true;
    // After the turn of who submits, as more commands may follow.
    queueMicrotask(this.#look);
  }

  stop(): void {}

  readonly #look = () => {
    if (this.#awaited.spin(LOOKS)) {
      this.#turns = 0;
      this.#awaited.reap();
    }
    if (this.#awaited.pending === 0) {
      this.#isRunning = false;
      return;
    }
    if (this.#turns++ < this.#patience) setImmediate(this.#look);
    else setTimeout(this.#look, 1);
  };
}

/** Looks a few times, then sleeps until an interrupt. */
class Sleeper implements Waiter {
  readonly #awaited: Awaited;
  readonly #turns: number;
  readonly #listener: Disposable;
  #left = 0;
  #isLooking = false;

  constructor(awaited: Awaited, vector: IrqVector, turns: number) {
    this.#awaited = awaited;
    this.#turns = turns;
    // The eventfd counts while nobody listens, so no interrupt is lost.
    this.#listener = vector.listen(() => awaited.reap(), {
      inBackground: true,
    });
  }

  start(): void {
    this.#left = this.#turns;
    if (this.#left === 0 || this.#isLooking) return;
    this.#isLooking = true;
    queueMicrotask(this.#look);
  }

  stop(): void {
    this.#listener[Symbol.dispose]();
  }

  readonly #look = () => {
    if (this.#awaited.spin(LOOKS)) this.#awaited.reap();
    if (this.#awaited.pending > 0 && this.#left-- > 0) setImmediate(this.#look);
    else this.#isLooking = false;
  };
}
