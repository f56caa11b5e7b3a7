/**
 * The operations of random sequences: kernel calls whose arguments may make no
 * sense. Each returns an answer that can be compared.
 *
 * @module
 */
import { IOMMU_IOAS_MAP_FIXED_IOVA } from "../../../lib/uapi/iommufd/all.ts";
import { PCI_BASE_ADDRESS_0, PCI_COMMAND } from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
} from "../../../lib/uapi/vfio/all.ts";
import { answer, answerOf } from "../answer.ts";
import { NOBODYS_MEMORY } from "../bench.ts";
import { Cdev, type DeviceFile } from "../device_file.ts";
import { EduRegisters } from "../edu_registers.ts";
import { Container, Group, Iommufd } from "../nodes.ts";
import type { FunctionName, World } from "./world.ts";

/** One of two places for a file of a kind. */
export type At = 0 | 1;

/** An open device: from a group, or by its own node. */
export interface DeviceAt {
  readonly kind: "devices" | "cdevs";
  readonly at: At;
}

/** A page of memory: its number, or `"nowhere"` for one that does not exist. */
export type PageOfMemory = number | "nowhere";

const PAGE = 4096;
/** The page where {@linkcode OPERATIONS} check a copy. */
const LAST_PAGE = 7;

function addressOf({ memory }: World, page: PageOfMemory): bigint {
  return page === "nowhere"
    ? NOBODYS_MEMORY
    : memory.address + BigInt(page * PAGE);
}

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
export const OPERATIONS = {
  openGroup: (world: World, { at, of }: { at: At; of: FunctionName }) => {
    const { group } = world.nodes(of);
    if (group === undefined) return "no node";
    return world.groups.free(at).put(() => new Group(world.kernel, group));
  },
  closeGroup: (world: World, { at }: { at: At }) =>
    world.groups.used(at).close(),
  openContainer: (world: World, { at }: { at: At }) =>
    world.containers.free(at).put(() => new Container(world.kernel)),
  closeContainer: (world: World, { at }: { at: At }) =>
    world.containers.used(at).close(),
  groupStatus: (world: World, { group }: { group: At }) =>
    world.groups.used(group).with((file) => file.status()),
  setContainer: (
    world: World,
    { group, container }: { group: At; container: At },
  ) => {
    const { file } = world.containers.used(container);
    const fd = file?.fd ?? 999;
    return world.groups.used(group).with((file) => file.setContainer({ fd }));
  },
  unsetContainer: (world: World, { group }: { group: At }) =>
    world.groups.used(group).with((file) => file.unsetContainer()),
  setIommu: (
    world: World,
    { container, type }: { container: At; type: number },
  ) => world.containers.used(container).with((file) => file.setIommu(type)),
  checkExtension: (
    world: World,
    { container, extension }: { container: At; extension: number },
  ) =>
    world.containers.used(container).with((file) => file.extension(extension)),
  getDevice: (
    world: World,
    { group, of, at }: { group: At; of: FunctionName; at: At },
  ) => {
    const { file } = world.groups.used(group);
    if (file === undefined) return "nothing";
    const open = () => file.device(world.address(of));
    return world.devices.free(at).put(open, of);
  },
  mapDma: (
    world: World,
    { container, page, ...rest }: {
      container: At;
      page: PageOfMemory;
      iova: bigint;
      size: bigint;
      flags: number;
    },
  ) =>
    world.containers.used(container).with((file) =>
      file.map({ vaddr: addressOf(world, page), ...rest })
    ),
  unmapDma: (
    world: World,
    { container, ...rest }: {
      container: At;
      iova: bigint;
      size: bigint;
      flags: number;
    },
  ) => world.containers.used(container).with((file) => file.unmap(rest)),
  openIommufd: (world: World, { at }: { at: At }) =>
    world.iommufds.free(at).put(() => new Iommufd(world.kernel)),
  closeIommufd: (world: World, { at }: { at: At }) =>
    world.iommufds.used(at).close(),
  allocateIoas: (world: World, { iommufd }: { iommufd: At }) =>
    world.iommufds.used(iommufd).with((file) => file.allocate()),
  destroy: (world: World, { iommufd, id }: { iommufd: At; id: number }) =>
    world.iommufds.used(iommufd).with((file) => file.destroy(id)),
  mapIoas: (
    world: World,
    { iommufd, page, access, ioas, iova, size }: {
      iommufd: At;
      ioas: number;
      page: PageOfMemory;
      iova: bigint;
      size: bigint;
      access: number;
    },
  ) =>
    world.iommufds.used(iommufd).with((file) =>
      file.map({
        ioas_id: ioas,
        user_va: addressOf(world, page),
        iova,
        length: size,
        flags: IOMMU_IOAS_MAP_FIXED_IOVA | access,
      })
    ),
  unmapIoas: (
    world: World,
    { iommufd, ioas, iova, size }: {
      iommufd: At;
      ioas: number;
      iova: bigint;
      size: bigint;
    },
  ) =>
    world.iommufds.used(iommufd).with((file) =>
      file.unmap({ ioas_id: ioas, iova, length: size })
    ),
  iovaRanges: (
    world: World,
    { iommufd, ioas, room }: { iommufd: At; ioas: number; room: number },
  ) => world.iommufds.used(iommufd).with((file) => file.ranges(ioas, room)),
  openCdev: (world: World, { at, of }: { at: At; of: FunctionName }) => {
    const { cdev } = world.nodes(of);
    if (cdev === undefined) return "no node";
    return world.cdevs.free(at).put(() => new Cdev(world.kernel, cdev), of);
  },
  bind: (world: World, { cdev, iommufd }: { cdev: At; iommufd: At }) => {
    const fd = world.iommufds.used(iommufd).file?.fd ?? 999;
    return world.cdevs.used(cdev).with((file) => file.bind({ fd }));
  },
  attach: (world: World, { cdev, id }: { cdev: At; id: number }) =>
    world.cdevs.used(cdev).with((file) => file.attach(id)),
  detach: (world: World, { cdev }: { cdev: At }) =>
    world.cdevs.used(cdev).with((file) => file.detach()),
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
  override: (
    world: World,
    { of, driver }: { of: FunctionName; driver: string },
  ) => world.write(`devices/${world.address(of)}/driver_override`, driver),
  bindDriver: (world: World, { of }: { of: FunctionName }) =>
    world.write("drivers/vfio-pci/bind", world.address(of)),
  unbindDriver: (world: World, { of }: { of: FunctionName }) =>
    world.isOpen(of)
      ? "would wait"
      : world.write("drivers/vfio-pci/unbind", world.address(of)),
  probe: (world: World, { of }: { of: FunctionName }) =>
    world.write("drivers_probe", world.address(of)),
  locked: (world: World) => world.bench.holdings().locked,
} as const;

/** The name of an operation. */
export type OperationName = keyof typeof OPERATIONS;

/** The arguments of an operation. */
export type ArgumentsOf<N extends OperationName> = NonNullable<
  Parameters<typeof OPERATIONS[N]>[1]
>;

/** An operation and its arguments. */
export type Operation = {
  [N in OperationName]: readonly [name: N, args: ArgumentsOf<N>];
}[OperationName];

/**
 * Carries out an operation.
 *
 * @param world The world that it works with.
 * @param operation The operation.
 * @returns The answer, which must be the same on every system.
 */
export async function perform(
  world: World,
  [name, args]: Operation,
): Promise<unknown> {
  const run = OPERATIONS[name] as (
    world: World,
    args: unknown,
  ) => unknown;
  return await run(world, args);
}
