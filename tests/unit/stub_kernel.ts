import type { Kernel } from "../../lib/kernel/kernel.ts";

/**
 * A kernel with only the given methods. Any other call throws, and so fails the
 * test.
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
