/**
 * The machine in which interrupts are measured.
 *
 * @module
 */
import { type Device, type Machine, machineNamed } from "../vm/machines.ts";

function controller(name: string, slot: string): Device {
  return {
    name,
    address: `0000:00:${slot}.0`,
    model: `nvme,serial=${name},max_ioqpairs=255,msix_qsize=256`,
    behind: "nothing",
  };
}

/** Sixteen functions with a message each, two with 256. */
export const IRQS_MACHINE: Machine = {
  ...machineNamed("testbed"),
  name: "testbed-irqs",
  about: "sixteen functions with a message each, two with 256",
  // One has room for about two hundred vectors.
  processors: 2,
  devices: [
    controller("nvme0", "03"),
    controller("nvme1", "04"),
    ...Array.from({ length: 16 }, (_, i) => ({
      name: `edu${i}`,
      address: `0000:00:${(0x05 + i).toString(16).padStart(2, "0")}.0`,
      model: "edu",
    })),
  ],
};
