import type { Kernel } from "../../lib/kernel/kernel.ts";

/**
 * A kernel of which only the methods given exist. Any other call is an error,
 * and so fails the test that did not expect it.
 */
export function stubKernel(methods: Partial<Kernel> = {}): Kernel {
  return new Proxy({ pageSize: 4096, ...methods } as Kernel, {
    get(target, name: keyof Kernel) {
      return target[name] ?? ((...args: unknown[]) => {
        throw new Error(`Unexpected call: ${name}(${args.join(", ")})`);
      });
    },
  });
}
