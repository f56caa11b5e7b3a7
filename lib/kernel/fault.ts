import { errnoNumber, KernelError } from "./errno.ts";
import { intercept, type KernelCall } from "./intercept.ts";
import type { Kernel } from "./kernel.ts";

/** Which call fails, and how. */
export interface Fault {
  /** The call that fails, counted from 1. */
  readonly nth: number;
  /** The errno's name: `"EIO"`. */
  readonly code: string;
}

/** A kernel one of whose calls fails, and what was asked of it. */
export interface FaultyKernel {
  /** The kernel that fails. */
  readonly kernel: Kernel;
  /** The calls made so far, the failed one included. */
  readonly calls: readonly KernelCall[];
}

/**
 * A kernel whose nth call fails. The call is not made, except for `close`,
 * which Linux carries out whatever it answers.
 *
 * @param kernel The kernel that is asked.
 * @param fault The call that fails; without one every call is only recorded.
 */
export function faulty(kernel: Kernel, fault?: Fault): FaultyKernel {
  const calls: KernelCall[] = [];
  const failing = intercept(kernel, (call, proceed) => {
    calls.push(call);
    if (calls.length !== fault?.nth) return proceed();
    const error = new KernelError(errnoNumber(fault.code), call.method);
    if (!call.method.endsWith("Async")) {
      if (call.method === "close") proceed();
      throw error;
    }
    const closed = call.method === "closeAsync" ? proceed() : undefined;
    return Promise.resolve(closed).then(() => Promise.reject(error));
  });
  return { kernel: failing, calls };
}
