/**
 * Looks after commands that are not answered.
 *
 * @module
 */
import { NvmeError } from "./error.ts";
import type { Requests } from "./requests.ts";

/** How often it looks, in milliseconds. */
const INTERVAL = 100;
/** How long an abort may take, in milliseconds. */
const ABORT_LIMIT = 1000;

/** A queue that is looked after. */
export interface Watched {
  /** Its number; 0 is that of the admin queue. */
  readonly id: number;
  /** Its commands. */
  readonly requests: Requests;
}

/** What it does about it. */
export interface Remedies {
  /** Checks the controller; throws if it is gone. */
  check(): "works" | "failed";
  /** Has the controller abort a command. */
  abort(queue: number, id: number): Promise<void>;
  /** Resets the controller. */
  recover(error: unknown): void;
  /** The controller is gone. */
  lost(error: unknown): void;
}

/** A command that is being aborted. */
interface Aborted {
  readonly queue: Watched;
  readonly id: number;
  /** When the abort is late, as `performance.now()`. */
  readonly deadline: number;
}

/** Looks after the queues of a controller, while commands are under way. */
export class Watchdog {
  readonly #device: string;
  readonly #remedies: Remedies;
  readonly #queues = new Set<Watched>();
  /** Commands that were late, and when their abort is late, too. */
  #aborted: readonly Aborted[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * @param device The controller's address, for errors.
   * @param remedies What it does about it.
   */
  constructor(device: string, remedies: Remedies) {
    this.#device = device;
    this.#remedies = remedies;
    this.#timer = setInterval(() => this.#look(), INTERVAL);
  }

  /** All queues. */
  get all(): readonly Watched[] {
    return [...this.#queues];
  }

  /** Looks after a queue. */
  add(queue: Watched): void {
    this.#queues.add(queue);
  }

  /** Does so no more. */
  delete(queue: Watched): void {
    this.#queues.delete(queue);
  }

  /** Ends it. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const busy = this.all.filter(({ requests }) => requests.pending > 0);
    if (busy.length === 0) return;
    try {
      if (this.#remedies.check() === "failed") {
        this.#remedies.recover(this.#reset("it has failed"));
        return;
      }
    } catch (error) {
      this.#remedies.lost(error);
      return;
    }
    for (const queue of busy) {
      for (const id of queue.requests.late()) this.#abort(queue, id);
    }
    this.#aborted = this.#aborted.filter(({ queue, id }) =>
      queue.requests.isUnderWay(id)
    );
    const now = performance.now();
    if (this.#aborted.every(({ deadline }) => deadline > now)) return;
    this.#remedies.recover(this.#reset("a command was not answered in time"));
  }

  #abort(queue: Watched, id: number): void {
    // An abort would go through the admin queue itself.
    const limit = queue.id === 0 ? 0 : ABORT_LIMIT;
    const deadline = performance.now() + limit;
    this.#aborted = [...this.#aborted, { queue, id, deadline }];
    // Its failure shows in that the command stays under way.
    if (queue.id !== 0) this.#remedies.abort(queue.id, id).catch(() => {});
  }

  #reset(why: string): NvmeError {
    return new NvmeError("RESET", {
      device: this.#device,
      problem: `the controller was reset: ${why}`,
    });
  }
}
