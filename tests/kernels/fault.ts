/**
 * Kernels in which one call fails, for tests.
 *
 * @module
 */

import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";

/** How a call fails. */
export type Failing =
  /**
   * It throws an errno, by its name: `"EIO"`. The call is made only if it is
   * `close`, which Linux carries out in any case, or if `done` is set.
   */
  | { readonly code: string; readonly done?: boolean }
  /**
   * It hangs, and is made when it is released. A synchronous call would block
   * the event loop, so that nothing could release it: that is a `TypeError`.
   */
  | { readonly hang: Hang }
  /**
   * It reads or writes only so many bytes, or characters of a file's text. For
   * a call that cannot do a part it is a `TypeError`.
   */
  | { readonly bytes: number };

/** Which call fails, and how. */
export type Fault = Failing & {
  /** The call, counted from 1. */
  readonly nth: number;
};

/** A kernel in which one call fails, and its calls. */
export interface FaultyKernel {
  /** The kernel. */
  readonly kernel: Kernel;
  /** The calls so far, including the failed one. */
  readonly calls: readonly KernelCall[];
}

/** Makes a call hang, and releases it. */
export class Hang {
  readonly #reached = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();

  /** Resolves when the call hangs. */
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
 * Makes a kernel whose nth call fails.
 *
 * @param kernel The kernel that makes the calls.
 * @param fault The call and how it fails. Without a fault calls are only
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
