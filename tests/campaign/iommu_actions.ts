/**
 * The steps of the campaign against translation. Each does what it does to the
 * library and to the model of it.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { VfioDevice, VfioError } from "../../mod.ts";
import { FaultQueue, Hwpt } from "../../backends/iommufd/mod.ts";
import {
  ADDRESSES,
  Area,
  type Attached,
  iovaOf,
  PAGE,
  PAGES,
  type Table,
  type World,
} from "./iommu_world.ts";

/** What a step is about: one of a few of everything. */
export interface Choice {
  readonly device: number;
  readonly area: number;
  readonly page: number;
  readonly flag: boolean;
}

/** How many page tables and IO address spaces there are at most. */
const MOST = 4;

/** The steps, by name. */
export const ACTIONS = {
  async attach(world: World, { device, area, page, flag }: Choice) {
    const home = world.areas[area % 2]!;
    const table = flag ? tableAt(world, page) : undefined;
    const pageTable = table && { pageTable: table.hwpt };
    const attached = await VfioDevice.attach(
      ADDRESSES[device]!,
      home.space!,
      pageTable,
    );
    attached.setBusMaster(true);
    const registers = attached.region(0).map();
    const door = world.iommufd && await home.space!.iommufd();
    home.ioas = door?.ioas;
    const bound = door?.find(attached);
    const at = table === undefined
      ? { area: home }
      : { area: table.area, table };
    world.attached.set(device, {
      ...{ device: attached, registers, home, bound },
      at: undefined,
    });
    world.moved(device, at);
  },
  async detach(world: World, { device }: Choice) {
    const attached = world.attached.get(device);
    if (attached === undefined) return;
    await attached.device.detach();
    world.left(device);
  },
  map(world: World, { device: memory, area, page, flag: writable }: Choice) {
    mapAt(world, area, page, { memory, writable });
  },
  mapFile(world: World, { device, area, page, flag: writable }: Choice) {
    mapAt(world, area, page, { memory: PAGES + device, writable });
  },
  unmap(world: World, { area, page }: Choice) {
    const from = areaAt(world, area);
    const mapped = from?.mapped.get(page);
    if (from === undefined || mapped === undefined) return;
    if (mapped.mapping !== undefined) mapped.mapping.unmap();
    else from.ioas!.unmap(iovaOf(page), PAGE);
    world.unmapped(from, page);
  },
  copy(world: World, { device, area, page, flag: writable }: Choice) {
    const from = areaAt(world, device);
    const to = areaAt(world, area);
    const mapped = from?.mapped.get(device);
    if (mapped === undefined || to === undefined) return;
    if (to.mapped.has(page) || writable && !mapped.writable) return;
    const { memory } = mapped;
    const iova = iovaOf(page);
    if (to.space !== undefined && mapped.mapping !== undefined) {
      const mapping = to.space.copy(mapped.mapping, { iova, writable });
      to.mapped.set(page, { memory, writable, mapping });
    } else if (to.space === undefined && from!.ioas !== undefined) {
      const options = { iova, writable };
      to.ioas!.copy(from!.ioas, iovaOf(device), PAGE, options);
      to.mapped.set(page, { memory, writable });
    }
  },
  ioas({ areas, iommufd }: World) {
    if (iommufd === undefined || areas.length === MOST) return;
    const area = new Area();
    area.ioas = iommufd.allocateIoas();
    areas.push(area);
  },
  destroyIoas(world: World, { area }: Choice) {
    const gone = world.areas[2 + area % 2];
    if (gone === undefined) return;
    destroy(gone.ioas!);
    world.areas.splice(world.areas.indexOf(gone), 1);
  },
  table(world: World, { device, area, flag, page }: Choice) {
    const { bound } = world.attached.get(device) ?? {};
    const of = areaAt(world, area);
    if (bound === undefined || of?.ioas === undefined) return;
    if (world.tables.length === MOST) return;
    const [queue] = page === 0 ? world.queues : [];
    const faultQueue = queue && { faultQueue: queue };
    const options = { dirtyTracking: flag, ...faultQueue };
    world.add(Hwpt.allocate(bound, of.ioas, options), of);
  },
  share(world: World, { device, area, flag: dirtyTracking }: Choice) {
    const { bound } = world.attached.get(device) ?? {};
    const of = areaAt(world, area);
    if (bound === undefined || of?.ioas === undefined) return;
    const hwpt = Hwpt.attach(bound, of.ioas, { dirtyTracking });
    world.moved(device, { area: of, table: world.add(hwpt, of) });
  },
  move(world: World, { device, page }: Choice) {
    const { bound } = world.attached.get(device) ?? {};
    const table = tableAt(world, page);
    if (bound === undefined || table === undefined) return;
    bound.attach(table.hwpt);
    world.moved(device, { area: table.area, table });
  },
  moveToIoas(world: World, { device, area }: Choice) {
    const { bound } = world.attached.get(device) ?? {};
    const of = areaAt(world, area);
    if (bound === undefined || of?.ioas === undefined) return;
    bound.attach(of.ioas);
    world.moved(device, { area: of });
  },
  stop(world: World, { device }: Choice) {
    const attached = world.attached.get(device);
    if (attached?.bound === undefined) return;
    attached.bound.detach();
    attached.at = undefined;
  },
  destroyTable(world: World, { page }: Choice) {
    const table = tableAt(world, page);
    if (table !== undefined) destroy(table.hwpt);
  },
  queue({ iommufd, queues }: World) {
    if (iommufd === undefined || queues.length > 0) return;
    queues.push(FaultQueue.allocate(iommufd));
  },
  destroyQueue({ queues }: World) {
    const [queue] = queues;
    if (queue === undefined) return;
    destroy(queue);
    queues.pop();
  },
  log(world: World, { page, flag }: Choice) {
    const table = tableAt(world, page);
    if (table === undefined) return;
    table.hwpt.setDirtyTracking(flag);
    table.written.clear();
  },
  readLog(world: World, { device, page, flag: keep }: Choice) {
    const table = tableAt(world, device);
    if (table?.hwpt.dirtyTracking !== true) return;
    if (!table.area.mapped.has(page)) return;
    const bitmap = new Uint8Array(1);
    table.hwpt.readDirty(iovaOf(page), PAGE, PAGE, bitmap, { keep });
    assertEquals(bitmap[0], table.written.has(page) ? 1 : 0, table.hwpt.name);
    if (!keep) table.written.delete(page);
  },
  async startDirty(world: World, { area, flag }: Choice) {
    const { space, written } = world.areas[area % 2]!;
    if (space!.dirty.by !== undefined) return;
    await space!.dirty.start(flag ? { by: "iommu" } : {});
    written.clear();
  },
  async readDirty(world: World, { area, flag: clear }: Choice) {
    const { space, written, mapped } = world.areas[area % 2]!;
    if (space!.dirty.by === undefined) return;
    const range = { iova: iovaOf(0), size: PAGES * PAGE };
    const told = await space!.dirty.read(range, { clear });
    for (let page = 0; page < PAGES; page++) {
      const has = told.has(iovaOf(page));
      if (written.has(page)) assert(has, `page ${page} is missing`);
      else if (told.exact) assert(!has, `nobody has written page ${page}`);
      if (!mapped.has(page)) assert(!has, `page ${page} is not mapped`);
    }
    if (clear) written.clear();
  },
  async unmapDirty(world: World, { area, page }: Choice) {
    const of = world.areas[area % 2]!;
    const { mapping } = of.mapped.get(page) ?? {};
    const { dirty } = of.space!;
    if (mapping === undefined || dirty.by === undefined) return;
    const told = await dirty.unmap(mapping);
    if (of.written.has(page)) assertEquals(told.dirtyPages, 1);
    else if (told.exact) assertEquals(told.dirtyPages, 0);
    world.unmapped(of, page);
  },
  async stopDirty(world: World, { area }: Choice) {
    const { space, written } = world.areas[area % 2]!;
    await space!.dirty.stop();
    written.clear();
  },
  limits(world: World, { area }: Choice) {
    assert(world.areas[area % 2]!.space!.limits().ranges.length > 0);
  },
} as const satisfies Record<
  string,
  (world: World, choice: Choice) => void | Promise<void>
>;

/** The name of a step. */
export type ActionName = keyof typeof ACTIONS;

/** One of the areas; spaces have no IOAS without a device. */
function areaAt({ areas }: World, number: number): Area | undefined {
  return areas[number];
}

function tableAt({ tables }: World, number: number): Table | undefined {
  return tables[number % Math.max(tables.length, 1)];
}

function mapAt(
  world: World,
  number: number,
  page: number,
  { memory, writable }: { memory: number; writable: boolean },
): void {
  const area = areaAt(world, number);
  if (area === undefined) return;
  const options = { iova: iovaOf(page), writable };
  const isTaken = area.mapped.has(page);
  const address = world.address(memory);
  const offset = (memory - PAGES) * PAGE;
  try {
    if (area.space === undefined) {
      if (offset < 0) area.ioas!.unsafeMap({ address, size: PAGE }, options);
      else area.ioas!.mapFile({ fd: world.file, offset }, PAGE, options);
      area.mapped.set(page, { memory, writable });
    } else {
      const mapping = offset < 0
        ? area.space.unsafeMap({ address, size: PAGE }, options)
        : area.space.mapFile(world.file, { size: PAGE, offset, ...options });
      area.mapped.set(page, { memory, writable, mapping });
    }
  } catch (error) {
    if (!isTaken) throw error;
    assertEquals((error as VfioError).code, "IOVA_OVERLAP");
    return;
  }
  assert(!isTaken, `page ${page} is mapped twice`);
}

/** Destroys an object: exactly what keeps it is what it names. */
function destroy(object: { users: readonly string[]; destroy(): void }): void {
  const { users } = object;
  try {
    object.destroy();
  } catch (error) {
    assert(error instanceof VfioError && error.code === "IN_USE");
    assert(users.length > 0, error.message);
    throw error;
  }
  assertEquals(users, []);
}

/** Where a device looks, for an error. */
export function lookOf({ at }: Attached): string {
  return at === undefined ? "nowhere" : at.table?.hwpt.name ?? "its IOAS";
}
