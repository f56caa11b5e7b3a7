/**
 * QEMU's command line for a machine.
 *
 * The devices and the IOMMU are emulated. The processor is too where there is
 * no KVM, above all in containers and in other virtual machines.
 *
 * @module
 */
import { join } from "@std/path";
import { type Accelerator, PROCESSORS } from "./accelerator_race.ts";
import { IOMMUS } from "./iommus.ts";
import type { Kernel } from "./kernel.ts";
import type { Device, Machine } from "./machines.ts";

/** Connects a guest's `/dev/hvc0` with this process's terminal. */
export const TERMINAL_ARGUMENTS: readonly string[] = [
  ...["-chardev", "stdio,id=terminal,signal=off"],
  ...["-device", "virtconsole,chardev=terminal,nr=0"],
];

/** The size of a device's disk, which is deleted after the run. */
const DISK_BYTES = 64 << 20;

/** The size of a disk that answers at once with nothing. */
const NOTHING_BYTES = 1 << 30;

/**
 * Makes the files that QEMU needs, and returns its arguments.
 *
 * @param machine The machine.
 * @param kernel Its kernel.
 * @param initramfs The initramfs for that kernel.
 * @param dir A directory of this run.
 * @param accelerator How the machine is run.
 * @returns QEMU's arguments.
 */
export async function qemuArguments(
  machine: Machine,
  kernel: Kernel,
  initramfs: string,
  dir: string,
  accelerator: Accelerator,
): Promise<string[]> {
  const iommu = machine.iommu === "none" ? undefined : IOMMUS[machine.iommu];
  const parameters = [
    "console=ttyS0",
    "loglevel=5",
    // tests read what the kernel said as it booted
    "log_buf_len=4M",
    // the guest ends, which the host notices, rather than go on with errors
    "panic=-1",
    "oops=panic",
    // the clocks are steady, even if the kernel measures otherwise on a busy
    // host
    "no_timer_check",
    "tsc=reliable",
    // mitigations cost an emulated processor more than a real one
    "mitigations=off",
    // the emulated IOMMU cannot share page tables of five levels
    "no5lvl",
    ...iommu?.parameters ?? [],
    ...machine.parameters ?? [],
    `PASSTHRU_RUN=${dir}`,
  ];
  return [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    // remapped interrupts need an I/O APIC that is QEMU's, not KVM's
    ...["-machine", "q35,kernel-irqchip=split", "-accel", accelerator],
    ...["-cpu", PROCESSORS[accelerator], "-smp", `${machine.processors ?? 1}`],
    ...["-m", "2G"],
    // The clock counts instructions, two nanoseconds each: a time limit of ten
    // seconds allows the same work however busy the host is.
    ...(accelerator === "tcg" && !machine.hostClock
      ? ["-icount", "shift=1"]
      : []),
    ...["-kernel", kernel.image, "-initrd", initramfs],
    ...["-append", parameters.join(" ")],
    // the IOMMU comes before the devices it translates for
    ...iommu?.args ?? [],
    "-fsdev",
    "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
    ...["-device", "virtio-9p-pci,fsdev=host,mount_tag=host,addr=1d.0"],
    ...["-device", "virtio-serial-pci,addr=1e.0"],
    ...(machine.monitor ? monitorArguments(dir) : []),
    ...ports(machine.devices),
    ...(await Promise.all(
      machine.devices.map((device) => attached(device, dir)),
    )).flat(),
  ];
}

/**
 * Connects QEMU's monitor with a virtio port of the guest. Both ends of the
 * socket are in QEMU: the monitor listens, and the port connects.
 */
function monitorArguments(dir: string): string[] {
  const path = join(dir, "monitor.sock");
  return [
    ...["-chardev", `socket,id=qmp,path=${path},server=on,wait=off`],
    ...["-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=monitor,path=${path}`],
    // the other ports are numbered from 1 on
    "-device",
    "virtserialport,chardev=monitor,name=monitor,nr=30",
  ];
}

/**
 * Makes a port for each bus except the first. A bus has the number of its
 * port's slot.
 */
function ports(devices: readonly Device[]): string[] {
  const buses = new Set(devices.map(({ address }) => address.split(":")[1]!));
  const behind = [...buses].filter((bus) => bus !== "00").sort();
  return behind.flatMap((bus, i) => {
    const slot = (0x1d - behind.length + i).toString(16);
    return [
      "-device",
      // After a reset of the bus the kernel waits for a faster link to come up,
      // which QEMU does not say of it.
      `pcie-root-port,id=port${bus},chassis=${
        i + 1
      },addr=${slot}.0,x-speed=2_5`,
    ];
  });
}

/** The arguments for one device and what is behind it. */
async function attached(device: Device, dir: string): Promise<string[]> {
  const { name, address, behind, cable, rom } = device;
  let { model } = device;
  if (rom !== undefined) {
    const path = join(dir, `${name}.rom`);
    await Deno.writeFile(path, rom);
    model += `,romfile=${path}`;
  }
  const [, bus, at] = address.split(":");
  const place = bus === "00" ? `addr=${at}` : `bus=port${bus},addr=${at}`;
  if (cable !== undefined) {
    return [
      ...["-netdev", `hubport,id=${name},hubid=${cable}`],
      ...["-device", `${model},netdev=${name},${place}`],
    ];
  }
  switch (behind) {
    case "disk": {
      const path = join(dir, `${name}.img`);
      using file = await Deno.create(path);
      await file.truncate(DISK_BYTES);
      return [
        ...["-drive", `id=${name},if=none,format=raw,file=${path}`],
        ...["-device", `${model},drive=${name},${place}`],
      ];
    }
    case "nothing": {
      const size = NOTHING_BYTES;
      return [
        ...["-blockdev", `driver=null-co,node-name=${name},size=${size}`],
        ...["-device", `${model},drive=${name},${place}`],
      ];
    }
    case "network":
      return [
        ...["-netdev", `user,id=${name},restrict=on`],
        ...["-device", `${model},netdev=${name},${place}`],
      ];
    case "keyboard":
      return [
        ...["-device", `${model},${place}`],
        ...["-device", `usb-kbd,bus=${name}.0`],
      ];
    case "subsystem":
      return [
        ...["-device", `nvme-subsys,id=${name}`],
        ...["-device", `${model},subsys=${name},${place}`],
      ];
    default:
      return ["-device", `${model},${place}`];
  }
}
