import type { Kernel } from "./kernel.ts";

/** One call to a {@linkcode Kernel}. */
export interface KernelCall {
  /** The method: `"open"`, `"ioctlAsync"`. */
  readonly method: keyof Kernel;
  /** Its arguments. */
  readonly args: readonly unknown[];
}

/** What a decorated kernel asks, by the decorated one. */
const SYSTEMS = new WeakMap<Kernel, Kernel>();

/**
 * The system behind a kernel, whatever decorates it: two kernels with the same
 * one have the same devices and the same memory.
 */
export function systemOf(kernel: Kernel): Kernel {
  return SYSTEMS.get(kernel) ?? kernel;
}

/**
 * A kernel that hands each call to `around`, which makes it by calling
 * `proceed`, or answers in its place. `pageSize` and `addressOf` ask nothing of
 * the system and pass through.
 */
export function intercept(
  kernel: Kernel,
  around: (call: KernelCall, proceed: () => unknown) => unknown,
): Kernel {
  const decorated = new Proxy(kernel, {
    get(target, method: keyof Kernel) {
      const member = target[method];
      if (typeof member !== "function") return member;
      if (method === "addressOf") return member.bind(target);
      return (...args: unknown[]) =>
        around(
          { method, args },
          () => Reflect.apply(member, target, args),
        );
    },
  });
  SYSTEMS.set(decorated, systemOf(kernel));
  return decorated;
}
