/**
 * The machine in which network cards' drivers are measured.
 *
 * @module
 */
import { type Device, type Machine, machineNamed } from "../vm/machines.ts";

function card(name: string, slot: string, cable: number): Device {
  return {
    name,
    address: `0000:00:${slot}.0`,
    model: "e1000e,romfile=",
    cable,
  };
}

/**
 * A card for each driver. Nobody is at the other end of their cables. Debian's
 * kernel has `pktgen`.
 */
export const NIC_MACHINE: Machine = {
  ...machineNamed("debian-6.12"),
  name: "debian-nic",
  about: "two network cards, whose packets nobody receives",
  hostClock: true,
  devices: [card("kernel0", "04", 1), card("nic0", "05", 2)],
};
