/**
 * The machines: which kernel, which IOMMU, which devices at which address.
 *
 * @module
 */
import { makeRom } from "../../lib/sim/pci/rom.ts";
import { MachineError } from "./errors.ts";
import { type IommuName, IOMMUS } from "./iommus.ts";
import type { KernelName } from "./kernel.ts";
import type { MachineInfo } from "./machine_env.ts";

/** A device of a machine. */
export interface Device {
  /** What tests call it. */
  name: string;
  /** Its PCI address. A bus other than 00 is that of a PCI Express port. */
  address: string;
  /** QEMU's name of the device and its properties. */
  model: string;
  /**
   * A disk, one that answers at once with nothing, a network without a way out,
   * a keyboard on a USB controller whose `id` is its name, or the NVMe subsystem
   * of VFs.
   */
  behind?: "disk" | "nothing" | "network" | "keyboard" | "subsystem";
  /** The number of its network cable. Cards with the same number share one. */
  cable?: number;
  /** What is in its ROM, where it is given one. */
  rom?: Uint8Array<ArrayBuffer>;
}

/** A machine that can be booted. */
export interface Machine {
  /** Its name on the command line. */
  name: string;
  /** The kernel it boots. */
  kernel: KernelName;
  /** The IOMMU it has. */
  iommu: IommuName | "none";
  /** The backends that work in it. */
  backends: readonly ("legacy" | "iommufd")[];
  /** One line for people. */
  about: string;
  /** Its devices. */
  devices: readonly Device[];
  /**
   * Whether time passes in it as on the host where it is emulated. Otherwise its
   * clock counts instructions, so that waiting for a device takes no time, and
   * looking for its answer does.
   */
  hostClock?: boolean;
  /** What its kernel is told besides, on its command line. */
  parameters?: readonly string[];
  /** How many processors it has. Default: 1. */
  processors?: number;
  /**
   * Whether its guest can command the QEMU that emulates it, for what no guest
   * can do by itself: errors of a link. See `guest/monitor.ts`.
   */
  monitor?: boolean;
  /**
   * The only tests that run in it, by the name of their file. They run in no
   * machine that does not name them.
   */
  tests?: readonly string[];
  /** Those that run in their place where everything is run. */
  allTests?: readonly string[];
}

/**
 * The devices, the same in every machine that all tests run in. Each slot is an
 * IOMMU group of its own and all functions of a slot share one, since none of
 * them has ACS. Slots 1b to 1f are the machine's own.
 */
export const DEVICES: readonly Device[] = [
  { name: "edu0", address: "0000:00:03.0", model: "edu" },
  { name: "edu1", address: "0000:00:04.0", model: "edu" },
  // two functions, one group
  { name: "pair0", address: "0000:00:05.0", model: "edu,multifunction=on" },
  { name: "pair1", address: "0000:00:05.1", model: "edu" },
  // two functions, one group, the first with a driver
  {
    name: "mixed0",
    address: "0000:00:06.0",
    model: "nvme,serial=mixed0,multifunction=on",
    behind: "disk",
  },
  { name: "mixed1", address: "0000:00:06.1", model: "edu" },
  {
    name: "nvme0",
    address: "0000:00:07.0",
    model: "nvme,serial=nvme0",
    behind: "disk",
  },
  {
    name: "e1000e0",
    address: "0000:00:08.0",
    model: "e1000e",
    behind: "network",
    // two images, and unused space behind them
    rom: makeRom({ vendor: 0x8086, device: 0x10d3, class: 0x020000 }, [9, 2]),
  },
  // its palette register advances at every read, which counts them
  { name: "vga0", address: "0000:00:09.0", model: "secondary-vga" },
  // sixteen cheap devices, for the benchmarks
  ...Array.from({ length: 16 }, (_, i) => ({
    name: `bench${i}`,
    address: `0000:00:${(0x0a + i).toString(16).padStart(2, "0")}.0`,
    model: "pci-testdev",
  })),
  // four virtual functions
  {
    name: "sriov0",
    address: "0000:01:00.0",
    model: "nvme,serial=sriov0,sriov_max_vfs=4,sriov_vq_flexible=8," +
      "sriov_vi_flexible=4",
    behind: "subsystem",
  },
];

/** Devices with as many virtual functions as QEMU can give them. */
const SRIOV_DEVICES: readonly Device[] = [
  {
    name: "nvme0",
    address: "0000:01:00.0",
    model: "nvme,serial=nvme0,max_ioqpairs=72,msix_qsize=72," +
      "sriov_max_vfs=32,sriov_vq_flexible=64,sriov_vi_flexible=32",
    behind: "subsystem",
  },
  {
    name: "igb0",
    address: "0000:02:00.0",
    model: "igb,romfile=",
    behind: "network",
  },
];

/**
 * Four network cards on two cables: from the kernel's, over two that packets are
 * forwarded between, to the last one.
 */
const CARDS: readonly Device[] = [
  {
    name: "peer0",
    address: "0000:00:04.0",
    model: "e1000e,romfile=",
    cable: 1,
  },
  { name: "nic0", address: "0000:00:05.0", model: "e1000e,romfile=", cable: 1 },
  { name: "nic1", address: "0000:00:06.0", model: "e1000e,romfile=", cable: 2 },
  { name: "nic2", address: "0000:00:07.0", model: "e1000e,romfile=", cable: 2 },
];

/**
 * Three functions that a reset of their port takes, one that is alone behind its
 * port, one that reports errors to its port, and some on the root bus.
 */
const PORT_DEVICES: readonly Device[] = [
  { name: "edu0", address: "0000:00:03.0", model: "edu" },
  // sixteen messages, and no MSI-X
  {
    name: "xhci0",
    address: "0000:00:08.0",
    model: "nec-usb-xhci,id=xhci0,msi=on,msix=off",
    behind: "keyboard",
  },
  { name: "vgacard0", address: "0000:00:09.0", model: "VGA,romfile=" },
  {
    name: "port0",
    address: "0000:01:00.0",
    model: "nvme,serial=port0,multifunction=on",
    behind: "disk",
  },
  { name: "port1", address: "0000:01:00.1", model: "edu" },
  { name: "port2", address: "0000:01:00.2", model: "edu" },
  {
    name: "alone0",
    address: "0000:02:00.0",
    model: "nvme,serial=alone0",
    behind: "disk",
  },
  // the only kind of device here that sends its errors to its port
  {
    name: "rng0",
    address: "0000:03:00.0",
    model: "virtio-rng-pci,id=rng0,disable-legacy=on,aer=on",
  },
];

/**
 * The same devices, of which the first `edu` reaches all of the machine's
 * memory: whether there is a huge page in the 256 MiB that it reaches otherwise
 * depends on what has run before.
 */
const FAR_REACHING: readonly Device[] = DEVICES.map((device) =>
  device.name === "edu0"
    ? { ...device, model: "edu,dma_mask=0xffffffff" }
    : device
);

/** The machines that run all tests. The first one is the default. */
export const MACHINES: readonly Machine[] = [
  {
    name: "testbed",
    kernel: "testbed",
    iommu: "intel",
    backends: ["legacy", "iommufd"],
    about: "iommufd, cdev, mock IOMMU, mtty; an Intel IOMMU",
    devices: DEVICES,
  },
  {
    name: "testbed-noiommu",
    kernel: "testbed",
    iommu: "none",
    backends: [],
    about: "the same kernel on a machine without an IOMMU",
    devices: FAR_REACHING,
  },
  {
    name: "debian-6.1",
    kernel: "debian-6.1",
    iommu: "intel",
    backends: ["legacy"],
    about: "Debian 12's kernel as it ships; an Intel IOMMU",
    devices: DEVICES,
  },
  {
    name: "debian-6.12",
    kernel: "debian-6.12",
    iommu: "intel",
    backends: ["legacy"],
    about: "Debian 13's kernel as it ships; an Intel IOMMU",
    devices: DEVICES,
  },
];

/** The machines for some tests only. */
export const SPECIAL_MACHINES: readonly Machine[] = [
  {
    name: "testbed-sriov",
    kernel: "testbed",
    iommu: "intel",
    backends: ["legacy", "iommufd"],
    about: "32 virtual functions of an nvme, 7 of an igb",
    devices: SRIOV_DEVICES,
    tests: ["sriov_test.ts", "vf_network_test.ts"],
  },
  {
    name: "testbed-ports",
    kernel: "testbed",
    iommu: "intel",
    backends: ["legacy", "iommufd"],
    about:
      "functions behind PCI Express ports, a USB controller, a VGA card, and " +
      "network cards on cables",
    devices: [...PORT_DEVICES, ...CARDS],
    monitor: true,
    tests: [
      "hot_reset_test.ts",
      "aer_test.ts",
      "msi_test.ts",
      "vga_test.ts",
      "nic_test.ts",
    ],
  },
  {
    name: "debian-ports",
    kernel: "debian-6.12",
    iommu: "intel",
    backends: ["legacy"],
    about: "the same, on Debian 13's kernel",
    devices: PORT_DEVICES,
    monitor: true,
    tests: ["hot_reset_test.ts", "aer_test.ts"],
  },
  {
    name: "debian-boot",
    kernel: "debian-6.12",
    iommu: "intel",
    backends: ["legacy"],
    about: "Debian 13's kernel, for systemd and udev to start on, and for " +
      "libvirt and podman",
    devices: DEVICES,
    tests: ["libvirt_test.ts", "podman_test.ts", "systemd_test.ts"],
  },
];

/**
 * The machines for other IOMMUs than those of most machines. They run the tests
 * of what differs between IOMMUs.
 */
export const IOMMU_MACHINES: readonly Machine[] = [
  otherIommu("testbed-scalable", "intel-first-stage"),
  otherIommu("testbed-virtio", "virtio"),
  // The kernel waits a minute each for disks whose interrupts do not arrive.
  {
    ...otherIommu("testbed-amd", "amd"),
    devices: DEVICES.filter(({ name }) => /^(edu|pair|vga)/.test(name)),
    allTests: ["iommus_test.ts"],
  },
];

/** A machine with another IOMMU, and the devices of most machines. */
function otherIommu(name: string, iommu: IommuName): Machine {
  return {
    name,
    kernel: "testbed",
    iommu,
    backends: ["legacy", "iommufd"],
    about: `the newest kernel with ${IOMMUS[iommu].title}`,
    devices: DEVICES,
    tests: ["iommus_test.ts"],
    // It has the same tests, and all others.
    allTests: ["conformance_test.ts"],
  };
}

/** Every machine there is. */
export const ALL_MACHINES: readonly Machine[] = [
  ...MACHINES,
  ...SPECIAL_MACHINES,
  ...IOMMU_MACHINES,
];

/**
 * Finds a machine by name.
 *
 * @param name The name.
 * @returns The machine.
 * @throws {MachineError} When there is no such machine.
 */
export function machineNamed(name: string): Machine {
  const machine = ALL_MACHINES.find((each) => each.name === name);
  if (!machine) {
    throw new MachineError(
      `There is no machine "${name}": there are ${
        ALL_MACHINES.map((each) => each.name).join(", ")
      }`,
    );
  }
  return machine;
}

/**
 * Describes a machine for its guest.
 *
 * @param machine The machine.
 * @returns The result of `currentMachine()` in the guest.
 */
export function machineInfo(machine: Machine): MachineInfo {
  const { name, kernel, iommu, backends } = machine;
  const devices = Object.fromEntries(
    machine.devices.map((device) => [device.name, device.address]),
  );
  return { name, kernel, iommu, backends, devices };
}
