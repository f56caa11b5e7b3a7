/**
 * Kernels one of whose calls goes wrong, for tests.
 *
 * @module
 */

import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";

/** How a call goes wrong. */
export type Failing =
  /**
   * It reports an errno, by its name: `"EIO"`. It is not made, except for
   * `close`, which Linux carries out whatever it answers, and where it is
   * `done` all the same.
   */
  | { readonly code: string; readonly done?: boolean }
  /**
   * It hangs, and is made when it is let go. A call that is not asynchronous
   * would hold the event loop, and nobody could let it go: that is a
   * `TypeError`.
   */
  | { readonly hang: Hang }
  /**
   * It reads or writes these first bytes alone, or as many of the characters of
   * a file's text. For a call that does not do a part it is a `TypeError`.
   */
  | { readonly bytes: number };

/** Which call goes wrong, and how. */
export type Fault = Failing & {
  /** The call, counted from 1. */
  readonly nth: number;
};

/** A kernel one of whose calls goes wrong, and what was asked of it. */
export interface FaultyKernel {
  /** The kernel. */
  readonly kernel: Kernel;
  /** The calls made so far, the one that went wrong included. */
  readonly calls: readonly KernelCall[];
}

/** Lets a call that hangs go on. */
export class Hang {
  readonly #reached = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();

  /** Is over when the call hangs. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  /** Lets the call go on. */
  release(): void {
    this.#released.resolve();
  }

  /** Hangs until {@linkcode Hang.release}. */
  hold(): Promise<void> {
    this.#reached.resolve();
    return this.#released.promise;
  }
}

/**
 * A kernel whose nth call goes wrong.
 *
 * @param kernel The kernel that is asked.
 * @param fault The call and what happens to it; without one every call is only
 * recorded.
 */
export function faulty(kernel: Kernel, fault?: Fault): FaultyKernel {
  const calls: KernelCall[] = [];
  const failing = intercept(kernel, (call, proceed) => {
    calls.push(call);
    if (calls.length !== fault?.nth) return proceed();
    if ("hang" in fault) return hang(call, fault.hang, proceed);
    if ("bytes" in fault) return cutShort(kernel, call, fault.bytes);
    return fail(call, fault, proceed);
  });
  return { kernel: failing, calls };
}

function fail(
  { method }: KernelCall,
  { code, done = false }: { readonly code: string; readonly done?: boolean },
  proceed: () => unknown,
): unknown {
  const error = new KernelError(errnoNumber(code), method);
  const made = done || method === "close" || method === "closeAsync"
    ? proceed()
    : undefined;
  if (!method.endsWith("Async")) throw error;
  return Promise.resolve(made).then(() => Promise.reject(error));
}

function hang(
  { method }: KernelCall,
  hanging: Hang,
  proceed: () => unknown,
): unknown {
  if (method.endsWith("Async")) return hanging.hold().then(proceed);
  throw new TypeError(`Cannot let ${method} hang: it holds the event loop`);
}

function cutShort(
  kernel: Kernel,
  { method, args }: KernelCall,
  bytes: number,
): unknown {
  switch (method) {
    case "read":
    case "write":
    case "pread":
    case "pwrite": {
      const [fd, buffer, ...offset] = args as [number, Uint8Array, bigint];
      return kernel[method](fd, buffer.subarray(0, bytes), ...offset);
    }
    case "readAsync":
    case "writeAsync": {
      const [fd, buffer] = args as [number, Uint8Array];
      return kernel[method](fd, buffer.subarray(0, bytes));
    }
    case "readFileBytes":
      return kernel.readFileBytes(args[0] as string).slice(0, bytes);
    case "readFile":
      return kernel.readFile(args[0] as string).slice(0, bytes);
    case "readFileAsync":
      return kernel.readFileAsync(args[0] as string)
        .then((text) => text.slice(0, bytes));
    default:
      throw new TypeError(`Cannot cut ${method} short: it does all or nothing`);
  }
}
