/**
 * What the campaign against translation works on, and what should be true of it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import {
  AddressSpace,
  type BackendName,
  type DmaMapping,
  Host,
  type MappedRegisters,
  type Mapping,
  type VfioDevice,
} from "../../mod.ts";
import {
  type FaultQueue,
  type Hwpt,
  type Ioas,
  Iommufd,
  type IommufdDevice,
} from "../../backends/iommufd/mod.ts";
import { simulate } from "../../lib/sim/mod.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";

/** Two devices of their own groups, and two of one. */
export const ADDRESSES = [
  "0000:01:00.0",
  "0000:02:00.0",
  "0000:03:00.0",
  "0000:03:00.1",
] as const;

/** Bytes of a page. */
export const PAGE = 4096;
/** How many pages there are: of the memory, of the file, and in an area. */
export const PAGES = 4;
/** Where the pages of an area lie; the devices reach 256 MiB. */
const FIRST_IOVA = 0x10_0000n;

/** What is mapped at a page. */
interface Mapped {
  /** The number of the memory's page. */
  readonly memory: number;
  readonly writable: boolean;
  /** By a space. */
  readonly mapping?: DmaMapping;
}

/** IOVAs, and what should be behind them. */
export class Area {
  readonly mapped = new Map<number, Mapped>();
  /** What devices of the space have written that were not told yet. */
  readonly written = new Set<number>();
  /** The space that it is; the others are made beside those. */
  readonly space: AddressSpace | undefined;
  /** The IOAS, while it is there. */
  ioas: Ioas | undefined;

  /** @param space The space that it is. */
  constructor(space?: AddressSpace) {
    this.space = space;
  }
}

/** A page table, and what it should tell. */
export interface Table {
  readonly hwpt: Hwpt;
  readonly area: Area;
  readonly written: Set<number>;
}

/** An attached device, and where it should look. */
export interface Attached {
  readonly device: VfioDevice;
  readonly registers: MappedRegisters;
  readonly home: Area;
  /** As its iommufd has it. */
  readonly bound: IommufdDevice | undefined;
  /** What it looks into, by a page table that was made or by none. */
  at: { readonly area: Area; readonly table?: Table } | undefined;
}

/** The simulated kernel, as far as it tells what its process holds. */
interface SimulatedProcess {
  readonly files: ReadonlyMap<number, unknown>;
  readonly memory: { readonly size: number };
  readonly locked: number;
  readonly pinned: number;
}

/** The simulated host, the objects, and what should be true of them. */
export class World {
  readonly #process: SimulatedProcess;
  readonly #before: number[];
  readonly host: Host;
  readonly iommufd: Iommufd | undefined;
  /** Memory to map: pages of the process, and pages of a file. */
  readonly #memory: readonly [Mapping, Mapping];
  readonly #words: readonly DataView[];
  /** The file. */
  readonly file: number;
  /** The spaces' areas, and those that were made beside them. */
  readonly areas: Area[];
  /** The devices, by number. */
  readonly attached = new Map<number, Attached>();
  readonly queues: FaultQueue[] = [];
  #tables: Table[] = [];

  /** @param backend The backend of both spaces. */
  constructor(backend: BackendName) {
    const { kernel } = simulate({
      dirtyTracking: true,
      functions: Object.fromEntries(
        ADDRESSES.map((address, i) => [
          address,
          { model: "edu", driver: "vfio-pci", group: Math.min(i, 2) + 1 },
        ]),
      ),
    });
    this.#process = kernel as unknown as SimulatedProcess;
    this.#before = this.#held();
    const host = this.host = new Host({ kernel });
    this.iommufd = backend === "iommufd" ? Iommufd.open(host) : undefined;
    const size = PAGES * PAGE;
    this.file = kernel.memfd("campaign", 0);
    kernel.ftruncate(this.file, BigInt(size));
    const protection = PROT_READ | PROT_WRITE;
    const anonymous = MAP_SHARED | MAP_ANONYMOUS;
    this.#memory = [
      kernel.mmap(size, protection, anonymous, -1, 0n),
      kernel.mmap(size, protection, MAP_SHARED, this.file, 0n),
    ];
    this.#words = this.#memory.map(({ buffer }) => new DataView(buffer));
    const shared = this.iommufd === undefined ? { backend } : {
      iommufd: this.iommufd,
    };
    this.areas = [0, 1].map(() =>
      new Area(new AddressSpace({ host, ...shared }))
    );
  }

  #held(): number[] {
    const { files, memory, locked, pinned } = this.#process;
    return [files.size, memory.size, locked, pinned];
  }

  /** The page tables that there are. */
  get tables(): readonly Table[] {
    return this.#tables = this.#tables
      .filter(({ hwpt }) => !hwpt.destroyed);
  }

  /** Notes a page table that was made. */
  add(hwpt: Hwpt, area: Area): Table {
    const known = this.#tables.find((table) => table.hwpt === hwpt);
    if (known !== undefined) return known;
    const table = { hwpt, area, written: new Set<number>() };
    this.#tables.push(table);
    return table;
  }

  /** Where this process has a page of the memory, or of the file. */
  address(memory: number): bigint {
    const [own, ofFile] = this.#memory;
    return memory < PAGES
      ? own.address + BigInt(memory * PAGE)
      : ofFile.address + BigInt((memory - PAGES) * PAGE);
  }

  /** Notes that a page is not mapped any more. */
  unmapped(area: Area, page: number): void {
    area.mapped.delete(page);
    area.written.delete(page);
    for (const table of this.tables) {
      if (table.area === area) table.written.delete(page);
    }
  }

  /** Notes where a device looks, and with it those of its group. */
  moved(device: number, at: Attached["at"]): void {
    for (const other of groupOf(device)) {
      const attached = this.attached.get(other);
      if (attached === undefined) continue;
      if (other === device || attached.at !== undefined) attached.at = at;
    }
  }

  /** Where a device looks: as long as one of a group is attached, all do. */
  #lookOf(device: number): Attached["at"] {
    for (const other of groupOf(device)) {
      const at = this.attached.get(other)?.at;
      if (at !== undefined) return at;
    }
    return undefined;
  }

  /** Notes that a device was detached. */
  left(device: number): void {
    const { home } = this.attached.get(device)!;
    this.attached.delete(device);
    for (const other of this.attached.values()) {
      if (other.home === home) return;
    }
    home.ioas = undefined;
  }

  /** Has a device write to a page: what is mapped there changes, nothing else. */
  assertReach(device: number, page: number): void {
    const attached = this.attached.get(device);
    if (attached === undefined) return;
    for (const words of this.#words) {
      for (let i = 0; i < PAGES; i++) words.setUint32(i * PAGE, UNTOUCHED);
    }
    const { registers, home } = attached;
    const at = this.#lookOf(device);
    registers.write64(0x80, 0x40000n);
    registers.write64(0x88, iovaOf(page));
    registers.write64(0x90, 4n);
    registers.write64(0x98, 3n);
    const there = at?.area.mapped.get(page);
    const reached = there?.writable === true ? there.memory : undefined;
    for (let memory = 0; memory < 2 * PAGES; memory++) {
      const words = this.#words[memory < PAGES ? 0 : 1]!;
      const value = words.getUint32(memory % PAGES * PAGE);
      assertEquals(
        value,
        memory === reached ? 0 : UNTOUCHED,
        `device ${device} writes to page ${page}: memory ${memory}`,
      );
    }
    if (reached === undefined) return;
    if (at!.table?.hwpt.dirtyTracking) at!.table.written.add(page);
    if (at!.area === home && home.space!.dirty.by !== undefined) {
      home.written.add(page);
    }
  }

  /** Closes everything, and asserts that nothing is left. */
  async end(): Promise<void> {
    for (const { space } of this.areas) await space?.close();
    this.iommufd?.close();
    const { kernel } = this.host;
    for (const memory of this.#memory) kernel.munmap(memory);
    kernel.close(this.file);
    const what = "descriptors, mappings, locked, pinned";
    assertEquals(this.#held(), this.#before, what);
  }
}

/** The devices of a device's group. */
function groupOf(device: number): readonly number[] {
  return device >= 2 ? [2, 3] : [device];
}

/** What is in memory that no device has written to. */
const UNTOUCHED = 0xa5a5_a5a5;

/** The IOVA of a page of an area. */
export function iovaOf(page: number): bigint {
  return FIRST_IOVA + BigInt(page * PAGE);
}
