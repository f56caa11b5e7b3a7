/**
 * The operations of random sequences on an open device: its registers,
 * interrupts, features and resets.
 *
 * @module
 */
import { PCI_BASE_ADDRESS_0, PCI_COMMAND } from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
} from "../../../lib/uapi/vfio/all.ts";
import { answer, answerOf } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { EduRegisters } from "../edu_registers.ts";
import type { FunctionName, World } from "./world.ts";

/** One of two places for a file of a kind. */
export type At = 0 | 1;

/** An open device: from a group, or by its own node. */
export interface DeviceAt {
  readonly kind: "devices" | "cdevs";
  readonly at: At;
}

const PAGE = 4096;
/** The page where {@linkcode DEVICE_OPERATIONS} check a copy. */
const LAST_PAGE = 7;

function withDevice<T>(
  world: World,
  { kind, at }: DeviceAt,
  use: (device: DeviceFile) => T,
): T | string {
  return world[kind].used(at).with<T>(use);
}

/**
 * The descriptor of an eventfd's place, or a number that is no descriptor.
 */
function descriptor(world: World, eventfd: At | -1 | 99): number {
  return eventfd === 0 || eventfd === 1
    ? world.eventfds[eventfd]!.fd
    : eventfd * 10;
}

/**
 * Whether a request connects the INTx line. The line must be quiet then: QEMU's
 * interrupt controller (`hw/intc/ioapic.c`) forgets an assertion on a masked
 * pin. The kernel expects a controller that delivers it later, like that of the
 * simulation.
 */
function connectsLine(
  { index, flags }: { readonly index: number; readonly flags: number },
): boolean {
  const connects = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
  return index === VFIO_PCI_INTX_IRQ_INDEX && flags === connects;
}

/** The operations, by name. */
export const DEVICE_OPERATIONS = {
  closeDevice: (world: World, { kind, at }: DeviceAt) =>
    world[kind].used(at).close(),
  deviceInfo: (world: World, { device }: { device: DeviceAt }) =>
    withDevice(world, device, (file) => file.info()),
  regionInfo: (
    world: World,
    { device, index }: { device: DeviceAt; index: number },
  ) => withDevice(world, device, (file) => file.region({ index })),
  irqInfo: (
    world: World,
    { device, index }: { device: DeviceAt; index: number },
  ) => withDevice(world, device, (file) => file.irq({ index })),
  readRegion: (
    world: World,
    { device, region, offset, length }: {
      device: DeviceAt;
      region: number;
      offset: number;
      length: number;
    },
  ) =>
    withDevice(world, device, (file) => [...file.read(region, offset, length)]),
  writeRegion: (
    world: World,
    { device, region, offset, bytes }: {
      device: DeviceAt;
      region: number;
      offset: number;
      bytes: readonly number[];
    },
  ) =>
    withDevice(
      world,
      device,
      (file) => file.write(region, offset, new Uint8Array(bytes)),
    ),
  setCommand: (
    world: World,
    { device, command }: { device: DeviceAt; command: number },
  ) =>
    withDevice(world, device, (file) => {
      const bytes = new Uint8Array(new Uint16Array([command]).buffer);
      return file.write(VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, bytes);
    }),
  /** Writes the first BAR's register in config space, and reads it. */
  sizeBar: (
    world: World,
    { device, value }: { device: DeviceAt; value: number },
  ) =>
    withDevice(world, device, (file) => {
      const bytes = new Uint8Array(new Uint32Array([value]).buffer);
      file.write(VFIO_PCI_CONFIG_REGION_INDEX, PCI_BASE_ADDRESS_0, bytes);
      const config = VFIO_PCI_CONFIG_REGION_INDEX;
      return [...file.read(config, PCI_BASE_ADDRESS_0, 4)];
    }),
  mapRegisters: (
    world: World,
    { device, offset, size }: {
      device: DeviceAt;
      offset: number;
      size: number;
    },
  ) => {
    const { of } = world[device.kind].used(device.at);
    return withDevice(world, device, (file) => {
      const mapping = file.mmap(0, offset, size);
      if (world.registers.has(of!)) world.kernel.munmap(mapping);
      else world.registers.set(of!, mapping);
      return mapping.length;
    });
  },
  unmapRegisters: (world: World, { of }: { of: FunctionName }) => {
    const mapping = world.registers.get(of);
    if (mapping === undefined) return "nothing";
    world.registers.delete(of);
    return answer(() => world.kernel.munmap(mapping));
  },
  setIrqs: (
    world: World,
    { device, request: { eventfds, ...rest } }: {
      device: DeviceAt;
      request: {
        index: number;
        flags: number;
        start: number;
        eventfds: readonly (At | -1 | 99)[];
      };
    },
  ) =>
    withDevice(world, device, (file) => {
      const fds = eventfds.map((each) => descriptor(world, each));
      if (connectsLine(rest)) new EduRegisters(file).acknowledge(0xffff_ffff);
      file.setIrqs({ ...rest, count: fds.length }, new Int32Array(fds));
    }),
  raise: (
    world: World,
    { device, reasons }: { device: DeviceAt; reasons: number },
  ) =>
    withDevice(world, device, (file) => new EduRegisters(file).raise(reasons)),
  acknowledge: (
    world: World,
    { device, reasons }: { device: DeviceAt; reasons: number },
  ) =>
    withDevice(
      world,
      device,
      (file) => new EduRegisters(file).acknowledge(reasons),
    ),
  /** Asks for a feature, with so many bytes of data that are 0. */
  feature: (
    world: World,
    { device, flags, bytes }: {
      device: DeviceAt;
      flags: number;
      bytes: number;
    },
  ) =>
    withDevice(
      world,
      device,
      (file) => file.feature(flags, new Uint8Array(bytes)),
    ),
  ioeventfd: (
    world: World,
    { device, eventfd, ...rest }: {
      device: DeviceAt;
      eventfd: At | -1 | 99;
      flags: number;
      offset: bigint;
      data: bigint;
    },
  ) =>
    withDevice(world, device, (file) => {
      const fd = eventfd === -1 ? -1 : descriptor(world, eventfd);
      file.ioeventfd({ ...rest, fd });
    }),
  /** Signals an eventfd, and reads the register that this may write. */
  signal: async (
    world: World,
    { device, eventfd }: { device: DeviceAt; eventfd: At },
  ) => {
    const { fd } = world.eventfds[eventfd]!;
    const one = new Uint8Array(new BigUint64Array([1n]).buffer);
    const written = answer(() => world.kernel.write(fd, one));
    await world.bench.settle();
    return [
      written,
      withDevice(world, device, (file) => [...file.read(0, 4, 4)]),
    ];
  },
  /** Which eventfds were signalled. How often depends on timing. */
  signalled: async (world: World) => {
    await world.bench.settle();
    return world.eventfds.map((eventfd) => eventfd.count() > 0);
  },
  /** Copies memory through a device, and reads the last page in use. */
  copy: async (
    world: World,
    { device, from, to }: { device: DeviceAt; from: number; to: number },
  ) => {
    const all = new Uint8Array(world.memory.buffer);
    all.fill(0).fill(0x5a, 0, PAGE);
    const { file } = world[device.kind].used(device.at);
    if (file === undefined) return "nothing";
    const edu = new EduRegisters(file);
    const size = 64;
    return await answerOf(async () => {
      await edu.copyToDevice(from, size);
      await edu.copyFromDevice(to, size);
      const last = all.subarray(LAST_PAGE * PAGE);
      return [...last.subarray(0, 4), ...last.subarray(size - 4, size + 4)];
    });
  },
  reset: async (world: World, { device }: { device: DeviceAt }) => {
    const { file } = world[device.kind].used(device.at);
    return file === undefined ? "nothing" : await answerOf(() => file.reset());
  },
} as const;
