/**
 * Makes calls of the kernel fail, wait, and end in another order.
 *
 * @module
 */
import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import type { KernelCall } from "../../lib/kernel/intercept.ts";
import { errnosOf } from "../kernels/errnos_of.ts";

/** How one call of the kernel fails, and another is delayed. */
export interface Disturbance {
  /** Which one, counted from the last disturbed one. */
  readonly after: number;
  /** Turns of the event loop before an asynchronous call is made. */
  readonly delay: number;
  /** Which of its errnos it fails with; none for `undefined`. */
  readonly errno: number | undefined;
}

/** Disturbs calls of the kernel as it is told. */
export class Disturber {
  readonly #disturbances: Disturbance[];
  /** Turns of the event loop before each asynchronous call, over and over. */
  readonly #delays: readonly number[];
  #asynchronous = 0;
  #calls = 0;
  /** Nothing more is disturbed. */
  over = false;
  /** What a call did that no call may do. */
  violation: string | undefined;
  /** The open file behind a descriptor. */
  readonly fileOf: (fd: number) => unknown;
  #last: string | undefined;

  /**
   * @param disturbances What is disturbed, in order.
   * @param fileOf Returns the open file behind a descriptor.
   */
  constructor(
    disturbances: readonly Disturbance[],
    fileOf: (fd: number) => unknown,
  ) {
    this.fileOf = fileOf;
    this.#disturbances = [...disturbances];
    this.#delays = this.#disturbances.map(({ delay }) => delay);
  }

  /** Makes a call, or has it fail. */
  around(call: KernelCall, proceed: () => unknown): unknown {
    if (this.over) return proceed();
    const error = this.#nextError(call);
    const isClose = call.method === "close" || call.method === "closeAsync";
    const answer = () => {
      if (error === undefined) return proceed();
      // Linux closes a descriptor whatever it reports.
      if (isClose) proceed();
      throw error;
    };
    return call.method.endsWith("Async") ? this.#later(call, answer) : answer();
  }

  /** Makes an asynchronous call some turns of the event loop later. */
  async #later(call: KernelCall, answer: () => unknown): Promise<unknown> {
    // The kernel takes the file when the call begins.
    const fd = call.args[0];
    const file = typeof fd === "number" ? this.fileOf(fd) : undefined;
    const turns = this.#delays[this.#asynchronous++ % this.#delays.length] ?? 0;
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    if (typeof fd === "number" && this.fileOf(fd) !== file) {
      this.violation ??= `${call.method}(${fd}) reached another file`;
    }
    return await answer();
  }

  /** The error of the call, where it is one that is to fail. */
  #nextError(call: KernelCall): KernelError | undefined {
    const next = this.#disturbances[0];
    if (next === undefined || this.#calls++ < next.after) return undefined;
    this.#calls = 0;
    this.#disturbances.shift();
    return this.#errorOf(call, next);
  }

  #errorOf(
    call: KernelCall,
    { errno }: Disturbance,
  ): KernelError | undefined {
    if (errno === undefined) return undefined;
    // Linux refuses to unmap only for lack of memory, which passes.
    if (call.method === "munmap" && this.#last === "munmap") return undefined;
    this.#last = call.method;
    const codes = errnosOf(call);
    const code = codes[errno % Math.max(codes.length, 1)];
    return code === undefined
      ? undefined
      : new KernelError(errnoNumber(code), call.method);
  }
}
