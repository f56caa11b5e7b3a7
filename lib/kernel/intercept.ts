import type { Kernel } from "./kernel.ts";

/** One call to a {@linkcode Kernel}. */
export interface KernelCall {
  /** The method: `"open"`, `"ioctlAsync"`. */
  readonly method: keyof Kernel;
  /** Its arguments. */
  readonly args: readonly unknown[];
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
  return new Proxy(kernel, {
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
}
