/**
 * Steps that take a function from its driver, and a driver that releases it
 * slowly.
 */
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import type { DriverStep } from "../../../lib/provision/steps/step.ts";
import { DISK, NIC } from "../provision_bench.ts";

export const why = "a test wants it";
export const TAKE_NIC: DriverStep = {
  kind: "driver",
  device: NIC,
  driver: "vfio-pci",
  why,
};
export const TAKE_DISK: DriverStep = { ...TAKE_NIC, device: DISK };

/** The system, but the disk's driver releases the disk only after a moment. */
export function lettingGoAfter(kernel: Kernel, moment: Promise<void>): Kernel {
  return intercept(
    kernel,
    ({ method, args }, proceed) =>
      method === "writeFileAsync" && String(args[0]).endsWith("nvme/unbind")
        ? moment.then(proceed)
        : proceed(),
  );
}
