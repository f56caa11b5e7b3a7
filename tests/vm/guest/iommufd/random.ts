/**
 * Objects made, mapped into, attached and destroyed at random: what the library
 * says of who keeps whom is what the kernel does, and each page table translates
 * what its IOAS has mapped.
 */
import { assert, assertEquals } from "@std/assert";
import { VfioError } from "../../../../mod.ts";
import {
  EventQueue,
  FaultQueue,
  Hwpt,
  HwQueue,
  Ioas,
  type IommufdObject,
  NestedHwpt,
  Vdevice,
  Viommu,
} from "../../../../backends/iommufd/mod.ts";
import { hasErrno } from "../../../../lib/kernel/errno.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
} from "../../../../lib/uapi/iommufd/all.ts";
import { randomNumbers } from "../../../unit/random.ts";
import {
  APERTURE,
  DATA,
  Mock,
  type MockDevice,
  PAGE,
  tableData,
} from "./mock.ts";
import { onMock } from "./test.ts";

const SEQUENCES = 1000;
const STEPS = 40;
/** How many pages of an IOAS are mapped at most. */
const PAGES = 4;
/** How many of each there are at most. */
const MOST_DEVICES = 3;
const MOST_OBJECTS = 24;

/** What a step may be refused with: what the mock lacks, or a state. */
const REFUSALS = new Set([
  "IN_USE",
  "IOVA_OUT_OF_RANGE",
  "IOVA_OVERLAP",
  "KERNEL",
  "NOT_SUPPORTED",
  "NO_MEMORY",
]);

/** Choices, the same in every run. */
class Random {
  /** A whole number from 0 on, below another. */
  readonly below: (end: number) => number;

  constructor(seed: number) {
    this.below = randomNumbers(seed);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  chance(of: number): boolean {
    return this.below(1000) < of * 1000;
  }
}

/** An iommufd, and what was made in it. */
class World {
  readonly mock: Mock;
  /** The choices of the present step. */
  #random = new Random(1);
  readonly #mapped = new Map<Ioas, Set<number>>();
  readonly #objects: IommufdObject[] = [];
  readonly #devices: MockDevice[] = [];
  readonly #memory;

  constructor(mock: Mock) {
    this.mock = mock;
    this.#memory = mock.memory(PAGE);
    this.#add(mock.iommufd.allocateIoas());
  }

  /** Makes the step of a seed; gives its name. */
  step(seed: number): string {
    this.#random = new Random(seed);
    const steps: Record<string, () => void> = {
      ioas: () => this.#add(this.mock.iommufd.allocateIoas()),
      device: () => this.#plug(),
      unplug: () => this.#unplug(),
      map: () => this.#map(),
      unmap: () => this.#unmap(),
      table: () => this.#table(),
      nested: () => this.#nested(),
      viommu: () => this.#viommu(),
      part: () => this.#part(),
      queue: () => this.#add(FaultQueue.allocate(this.mock.iommufd)),
      attach: () => this.#attach(),
      attachAgain: () => this.#attach(),
      pasid: () => this.#pasid(),
      destroy: () => this.#destroy(),
      destroyAnother: () => this.#destroy(),
    };
    const name = this.#random.pick(Object.keys(steps));
    try {
      steps[name]!();
    } catch (error) {
      const isRefusal = error instanceof VfioError && REFUSALS.has(error.code);
      if (!isRefusal) throw error;
    }
    return name;
  }

  /**
   * Asserts that the kernel keeps exactly what the library says is kept, and
   * translates exactly what is mapped.
   */
  check(): void {
    this.#checkTables();
    for (const object of this.#objects) {
      if (object.destroyed || object.users.length === 0) continue;
      const { fd } = this.mock.iommufd;
      let kept = false;
      try {
        fd.ioctl(IOMMU_DESTROY, iommu_destroy.alloc({ id: object.id }));
      } catch (error) {
        kept = hasErrno(error, "EBUSY");
      }
      assert(kept, `${object.name} is not kept by ${object.users}`);
    }
  }

  #checkTables(): void {
    for (const table of this.#objects) {
      if (!(table instanceof Hwpt) || table.destroyed) continue;
      const mapped = this.#mapped.get(table.ioas);
      for (let page = 0; page < PAGES; page++) {
        assertEquals(
          this.mock.translates(table, iovaOf(page), this.#memory),
          mapped?.has(page) === true,
          `page ${page} of ${table.name}`,
        );
      }
    }
  }

  #add(object: IommufdObject): void {
    this.#objects.push(object);
  }

  /** One of a class, which a private constructor does not let be named. */
  #pick<T extends IommufdObject>(
    kind: { readonly prototype: T },
  ): T | undefined {
    const found = this.#objects.filter((object): object is T =>
      !object.destroyed &&
      Object.prototype.isPrototypeOf.call(kind.prototype, object)
    );
    return found.length === 0 ? undefined : this.#random.pick(found);
  }

  #device(): MockDevice | undefined {
    return this.#devices.length === 0
      ? undefined
      : this.#random.pick(this.#devices);
  }

  #plug(): void {
    const ioas = this.#pick(Ioas);
    if (ioas === undefined || this.#devices.length === MOST_DEVICES) return;
    const pasids = this.#random.chance(0.5);
    const dirty = this.#random.chance(0.7);
    this.#devices.push(this.mock.device(ioas, { pasids, dirty }));
  }

  #unplug(): void {
    const device = this.#device();
    if (device === undefined) return;
    device.unplug();
    this.#devices.splice(this.#devices.indexOf(device), 1);
  }

  #map(): void {
    const ioas = this.#pick(Ioas);
    const page = this.#random.below(PAGES);
    if (ioas === undefined) return;
    const { address } = this.#memory;
    ioas.unsafeMap({ address, size: PAGE }, { iova: iovaOf(page) });
    const mapped = this.#mapped.get(ioas) ?? new Set();
    this.#mapped.set(ioas, mapped.add(page));
  }

  #unmap(): void {
    const ioas = this.#pick(Ioas);
    if (ioas === undefined) return;
    // What lies below a hardware queue is gone, where one is in the way.
    for (const page of [...this.#mapped.get(ioas) ?? []]) {
      ioas.unmap(iovaOf(page), PAGE);
      this.#mapped.get(ioas)!.delete(page);
    }
  }

  #table(): void {
    const [device, ioas] = [this.#device(), this.#pick(Ioas)];
    if (device === undefined || ioas === undefined) return;
    if (this.#objects.length > MOST_OBJECTS) return;
    const nestParent = this.#random.chance(0.5);
    const queue = this.#random.chance(0.3) && !nestParent
      ? this.#pick(FaultQueue)
      : undefined;
    this.#add(Hwpt.allocate(device, ioas, {
      nestParent,
      dirtyTracking: this.#random.chance(0.3),
      pasid: this.#random.chance(0.5),
      ...queue && { faultQueue: queue },
    }));
  }

  #nested(): void {
    const device = this.#device();
    const parent = this.#random.chance(0.5)
      ? this.#pick(Viommu)
      : this.#pick(Hwpt);
    if (device === undefined || parent === undefined) return;
    const queue = this.#random.chance(0.3) ? this.#pick(FaultQueue) : undefined;
    this.#add(NestedHwpt.allocate(device, parent, tableData(1), {
      pasid: this.#random.chance(0.5),
      ...queue && { faultQueue: queue },
    }));
  }

  #viommu(): void {
    const [device, parent] = [this.#device(), this.#pick(Hwpt)];
    if (device === undefined || parent === undefined) return;
    this.#add(Viommu.allocate(device, parent, { type: DATA.other }));
  }

  #part(): void {
    const [device, viommu] = [this.#device(), this.#pick(Viommu)];
    if (device === undefined || viommu === undefined) return;
    const kind = this.#random.below(3);
    if (kind === 0) {
      const id = BigInt(1 + this.#random.below(4));
      this.#add(Vdevice.allocate(viommu, device, id));
    } else if (kind === 1) {
      const request = { type: DATA.event, eventSize: 4, depth: 2 };
      this.#add(EventQueue.allocate(viommu, request));
    } else {
      this.#add(HwQueue.allocate(viommu, {
        type: DATA.other,
        index: this.#random.below(2),
        iova: iovaOf(this.#random.below(PAGES)),
        size: PAGE,
      }));
    }
  }

  #attach(): void {
    const table = this.#pick(
      this.#random.pick<{ readonly prototype: Ioas | Hwpt | NestedHwpt }>(
        [Ioas, Hwpt, NestedHwpt],
      ),
    );
    if (table !== undefined) this.#device()?.attach(table);
  }

  #pasid(): void {
    const device = this.#device();
    const table = this.#random.chance(0.7)
      ? this.#pick(Hwpt)
      : this.#pick(NestedHwpt);
    const pasid = 1 + this.#random.below(3);
    if (device === undefined || table === undefined) return;
    if (this.#random.chance(0.3)) device.detachPasid(pasid);
    else device.attachPasid(pasid, table);
  }

  #destroy(): void {
    const open = this.#objects.filter(({ destroyed }) => !destroyed);
    if (open.length < 2) return;
    const object = this.#random.pick(open);
    const { users } = object;
    try {
      object.destroy();
      assertEquals(users, [], object.name);
      this.#objects.splice(this.#objects.indexOf(object), 1);
    } catch (error) {
      if (!(error instanceof VfioError)) throw error;
      // Nobody else has a part of it, so the library knows.
      assert(users.length > 0, error.message);
    }
  }
}

/** The IOVA of one of the pages. */
function iovaOf(page: number): bigint {
  return APERTURE + BigInt(page * PAGE);
}

/** Plays a sequence; throws where the library and the kernel differ. */
function play(seeds: readonly number[]): void {
  using mock = new Mock();
  const world = new World(mock);
  const names: string[] = [];
  try {
    for (const [i, seed] of seeds.entries()) {
      names.push(world.step(seed));
      if (i % 8 === 7) world.check();
    }
    world.check();
  } catch (error) {
    const steps = names.map((name, i) => `${name} ${seeds[i]}`);
    throw new Error(steps.join(", "), { cause: error });
  }
}

/** Leaves out all steps that a sequence does not need to fail. */
function shorten(seeds: readonly number[]): readonly number[] {
  let shortest = seeds;
  for (let i = seeds.length - 1; i >= 0; i--) {
    const fewer = shortest.toSpliced(i, 1);
    try {
      play(fewer);
    } catch {
      shortest = fewer;
    }
  }
  return shortest;
}

onMock(
  `who keeps whom, and what is mapped, is what the kernel does, in ${SEQUENCES} random sequences`,
  (first) => {
    first.iommufd.close();
    const { below } = new Random(12);
    for (let sequence = 0; sequence < SEQUENCES; sequence++) {
      const seeds = Array.from({ length: STEPS }, () => 1 + below(2 ** 20));
      try {
        play(seeds);
      } catch {
        play(shorten(seeds));
        throw new Error(`sequence ${sequence} fails only after others`);
      }
    }
  },
);
