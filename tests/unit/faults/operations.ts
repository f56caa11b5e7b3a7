/**
 * Operations of which calls fail or hang.
 */
import { type Kernel, KernelError } from "../../../mod.ts";
import { errnoNumber } from "../../../lib/kernel/errno.ts";
import type { Failing } from "../../kernels/fault.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import { VFIO_GROUP_SET_CONTAINER } from "../../../lib/uapi/vfio/all.ts";
import { A, type Operation, type World } from "./bench.ts";

/** Maps memory for devices, twice. */
export function withMappings({ space }: World): void {
  const memory = space.allocate(8192, { iova: 0x10_0000n });
  space.map(memory, { iova: 0x20_0000n, writable: false });
}

/** Attaches a function, and maps its registers. */
export async function withRegisters(world: World, address: string) {
  const device = await world.attach(address);
  return { device, registers: device.region(0).map() };
}

export const attach: Operation<void> = {
  backends: ["legacy", "iommufd", "auto"],
  prepare: withMappings,
  act: (world) => world.attach(A),
  // Without iommufd's nodes it chooses the legacy backend.
  otherwise: ({ method }, _, backend) =>
    backend === "auto" && /^(open|readdir|stat|close)$/.test(method),
};

/**
 * A system in which each container takes one group only, as with some IOMMUs.
 */
export function oneGroupEach(kernel: Kernel): Kernel {
  const full = new Set<unknown>();
  return intercept(kernel, ({ method, args }, proceed) => {
    if (method === "close") full.delete(args[0]);
    if (args[1] !== VFIO_GROUP_SET_CONTAINER) return proceed();
    const [container] = new Int32Array((args[2] as Uint8Array).slice().buffer);
    if (full.has(container)) {
      throw new KernelError(errnoNumber("EINVAL"), "VFIO_GROUP_SET_CONTAINER");
    }
    const result = proceed();
    full.add(container);
    return result;
  });
}

/**
 * Whether a failure looks like a missing driver, or a missing `power/control`.
 */
export function isMissing(
  { method, args }: KernelCall,
  fault: Failing,
): boolean {
  if (!("code" in fault)) return false;
  const path = String(args[0]);
  return method === "readlink" && path.endsWith("/driver") &&
      fault.code === "ENOENT" ||
    method === "readFile" && path.endsWith("/power/control") &&
      ["ENOENT", "ENODEV"].includes(fault.code);
}

/** The operation that takes a function. */
export function takes(address: string): Operation<void> {
  return {
    backends: ["auto"],
    prepare: () => {},
    async act(world) {
      world.taken = await world.host.take(address);
    },
    isTaken: isMissing,
  };
}

/** The operation that gives a function back. */
export function returns(address: string): Operation<void> {
  return {
    backends: ["auto"],
    async prepare(world) {
      world.taken = await world.host.take(address);
    },
    act: (world) => world.taken!.giveBack(),
    isTaken: isMissing,
  };
}
