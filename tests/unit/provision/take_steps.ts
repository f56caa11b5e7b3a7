/**
 * Steps that take a function from its driver.
 */
import type { DriverStep } from "../../../lib/provision/step.ts";
import { DISK, NIC } from "../provision_bench.ts";

export const why = "a test wants it";
export const TAKE_NIC: DriverStep = {
  kind: "driver",
  device: NIC,
  driver: "vfio-pci",
  why,
};
export const TAKE_DISK: DriverStep = { ...TAKE_NIC, device: DISK };
