/**
 * The operations of random sequences: kernel calls whose arguments may make no
 * sense. Each returns an answer that can be compared.
 *
 * @module
 */
import { IOMMU_IOAS_MAP_FIXED_IOVA } from "../../../lib/uapi/iommufd/all.ts";
import { NOBODYS_MEMORY } from "../bench.ts";
import { Cdev } from "../device_file.ts";
import { Container, Group, Iommufd } from "../nodes.ts";
import { type At, DEVICE_OPERATIONS } from "./device_operations.ts";
import type { FunctionName, World } from "./world.ts";

/** A page of memory: its number, or `"nowhere"` for one that does not exist. */
export type PageOfMemory = number | "nowhere";

const PAGE = 4096;

function addressOf({ memory }: World, page: PageOfMemory): bigint {
  return page === "nowhere"
    ? NOBODYS_MEMORY
    : memory.address + BigInt(page * PAGE);
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
  ...DEVICE_OPERATIONS,
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
