/**
 * The machine in which NVMe drivers are measured.
 *
 * @module
 */
import { type Device, type Machine, machineNamed } from "../vm/machines.ts";

function controller(name: string, slot: string, blockSize: number): Device {
  return {
    name,
    address: `0000:00:${slot}.0`,
    model: `nvme,serial=${name},logical_block_size=${blockSize},` +
      `physical_block_size=${blockSize}`,
    behind: "nothing",
  };
}

/**
 * Two controllers that answer at once, with blocks of 512 bytes and of 4 KiB, as
 * libvfn reads one block. Debian's kernel has `io_uring`. Its driver has a queue
 * with an interrupt and one that is polled, and looks for no second path.
 */
export const NVME_MACHINE: Machine = {
  ...machineNamed("debian-6.12"),
  name: "debian-nvme",
  about: "controllers without a disk behind them",
  hostClock: true,
  parameters: ["nvme.poll_queues=1", "nvme_core.multipath=0"],
  devices: [
    controller("nvme512", "07", 512),
    controller("nvme4096", "08", 4096),
  ],
};
