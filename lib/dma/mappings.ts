import type {
  DmaRange,
  IommuLimits,
  PhysicalRange,
} from "../../backends/backend.ts";
import { ignoreErrors } from "../../backends/explain.ts";
import { toVfioError, VfioError } from "../errors.ts";
import { hex } from "../hex.ts";
import { hasErrno } from "../kernel/errno.ts";
import type { ReservedRegion } from "../host/device.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import { traced, type TracedEvent, tracerOf } from "../tracing.ts";
import { iovaOf } from "../uapi/layout.ts";
import { IovaSpace, pageOf } from "./iova_space.ts";
import {
  DmaMapping,
  type MapOptions,
  type MappedMemory,
  type MappingOwner,
  MOVED,
  SOURCE,
  type TrackedMemory,
  UNMAPPED,
} from "./mapping.ts";
import { MappingRoom } from "./mapping_room.ts";
import type { SpaceContext } from "./space_context.ts";

/**
 * How much is mapped by one call to the kernel where the event loop is not to
 * wait. A call cannot be given up, and pinning 1 GiB takes about 20 ms.
 */
const CALL_BYTES = 2 ** 30;

/** What maps in the kernel. */
type Mapper = Pick<
  SpaceContext,
  | "map"
  | "mapAsync"
  | "copy"
  | "unmap"
  | "dropAddresses"
  | "updateAddress"
  | "physical"
  | "noIommu"
>;

/** What is mapped in an address space, whether a device is attached or not. */
export class Mappings implements MappingOwner {
  readonly #context: Mapper;
  readonly #room = new MappingRoom();
  /** Those whose address the kernel has forgotten. */
  readonly #dropped = new Set<DmaMapping>();
  readonly #iovas: IovaSpace<DmaMapping>;

  /**
   * @param context What serves the address space in the kernel.
   * @param limits What can be mapped.
   */
  constructor(context: Mapper, limits: IommuLimits) {
    this.#context = context;
    this.#iovas = new IovaSpace<DmaMapping>(limits);
  }

  /** What can be mapped from now on. */
  set limits(limits: IommuLimits) {
    this.#iovas.limits = limits;
    this.#room.available = limits.mappingsAvailable;
  }

  /** {@linkcode IovaSpace.arrive} */
  arrive(reserved: () => readonly ReservedRegion[]): Disposable {
    return this.#iovas.arrive(reserved);
  }

  /** All of them, by ascending IOVA. */
  values(): Iterable<DmaMapping> {
    return this.#iovas.holders();
  }

  /** The first of those in pages `[first, end)`, wholly or in part. */
  firstWithin(first: number, end: number): DmaMapping | undefined {
    return this.#iovas.firstHolder(first, end);
  }

  /** Whether a mapping is there still. */
  has(mapping: DmaMapping): boolean {
    return this.#iovas.holder(mapping.page) === mapping;
  }

  /**
   * Maps memory.
   *
   * @param memory The memory.
   * @param options Where it is mapped, and for what.
   * @param tracked Who is told when it is unmapped.
   */
  map(
    memory: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
  ): DmaMapping {
    const tracer = tracerOf("map");
    if (tracer === undefined) return this.#map(memory, options, tracked);
    const event: TracedEvent = { bytes: memory.size };
    return tracer.sync("map", event, () => {
      const mapping = this.#map(memory, options, tracked);
      if (!mapping.noIommu) event.iova = mapping.iova;
      return mapping;
    });
  }

  #map(
    memory: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
    map = (mapping: DmaMapping) => this.#context.map(mapping),
  ): DmaMapping {
    this.#assertStays(memory);
    const page = this.#iovas.find(memory.size, options);
    const mapping = this.#make(page, memory, options, tracked);
    this.#room.assert(mapping, 1);
    try {
      map(mapping);
    } catch (error) {
      throw toVfioError(error, `map ${mapping.bytes} bytes`);
    }
    this.#iovas.take(page, mapping.bytes, mapping);
    this.#room.take(mapping, 1);
    return mapping;
  }

  /**
   * Maps what another space has mapped.
   *
   * @param from The mapping there.
   * @param options Where it is mapped, and for what.
   */
  copy(from: DmaMapping, options: MapOptions): DmaMapping {
    const { memory, tracked, owner } = from[SOURCE];
    const { writable = from.writable } = options;
    if (writable && !from.writable) {
      throw new TypeError("Cannot copy a read-only mapping for writing");
    }
    if (!(owner instanceof Mappings) || !owner.has(from)) {
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: "the mapping that is to be copied is not there any more",
        hint: "copy it before it is unmapped",
      });
    }
    return this.#map(
      memory,
      { ...options, writable },
      tracked,
      (mapping) => this.#context.copy(mapping, from, owner.#context),
    );
  }

  /** Has the kernel forget where this process has what is mapped. */
  dropAddresses(): void {
    try {
      this.#context.dropAddresses();
      for (const mapping of this.values()) this.#dropped.add(mapping);
    } catch (error) {
      throw toVfioError(error, "let go of this process's addresses");
    }
  }

  /** Tells the kernel where this process has what it has forgotten. */
  updateAddresses(addressOf: (mapping: DmaMapping) => bigint): void {
    for (const mapping of this.#dropped) {
      mapping[MOVED](addressOf(mapping));
      try {
        this.#updateAddress(mapping);
        this.#dropped.delete(mapping);
      } catch (error) {
        const doing = `tell where the memory at ${hex(mapping.iova)} is`;
        throw toVfioError(error, doing);
      }
    }
  }

  // What was mapped without holding the event loop can be several mappings of
  // the kernel's.
  #updateAddress(mapping: DmaMapping): void {
    try {
      this.#context.updateAddress(mapping);
    } catch (error) {
      if (mapping.bytes <= CALL_BYTES || !hasErrno(error, "EINVAL")) {
        throw error;
      }
      for (let from = 0; from < mapping.bytes; from += CALL_BYTES) {
        this.#context.updateAddress(part(mapping, from));
      }
    }
  }

  /**
   * The same without holding the event loop. An abort is heard after each GiB.
   * Devices see parts of the memory meanwhile.
   */
  mapAsync(
    memory: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
    { signal }: SignalOptions,
  ): Promise<DmaMapping> {
    const describe = () => ({ bytes: memory.size });
    return traced("map", describe, async (event) => {
      const mapping = await this.#mapAsync(memory, options, tracked, signal);
      if (event !== undefined && !mapping.noIommu) event.iova = mapping.iova;
      return mapping;
    });
  }

  async #mapAsync(
    memory: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
    signal: AbortSignal | undefined,
  ): Promise<DmaMapping> {
    signal?.throwIfAborted();
    this.#assertStays(memory);
    const page = this.#iovas.find(memory.size, options);
    const mapping = this.#make(page, memory, options, tracked);
    const { bytes } = mapping;
    const done: DmaRange[] = [];
    const count = Math.ceil(bytes / CALL_BYTES);
    this.#room.assert(mapping, count);
    this.#iovas.take(page, bytes);
    this.#room.take(mapping, count);
    try {
      for (let from = 0; from < bytes; from += CALL_BYTES) {
        const range = part(mapping, from);
        await this.#context.mapAsync(range);
        done.push(range);
        signal?.throwIfAborted();
      }
    } catch (error) {
      for (const range of done) {
        ignoreErrors(() => this.#context.unmap(range));
      }
      this.#iovas.release(page);
      this.#room.release(mapping);
      throw toVfioError(error, `map ${bytes} bytes`);
    }
    this.#iovas.hold(page, mapping);
    return mapping;
  }

  /** Refuses memory whose physical addresses can change, where these count. */
  #assertStays({ size, immovable }: MappedMemory): void {
    if (this.#context.noIommu && immovable !== true) throw movable(size);
  }

  #make(
    page: number,
    memory: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
  ): DmaMapping {
    return new DmaMapping(
      this,
      page,
      memory,
      options.writable ?? true,
      this.#context.noIommu,
      tracked,
    );
  }

  /**
   * Unmaps memory. It does nothing for a mapping that is gone already.
   *
   * @throws {VfioError} `IOVA_OUT_OF_RANGE` if nothing is mapped at the IOVA.
   */
  unmap(mapping: DmaMapping | bigint): void {
    if (typeof mapping !== "bigint") {
      if (this.has(mapping)) this.remove(mapping);
      return;
    }
    const present = mapping % 4096n === 0n
      ? this.#iovas.holder(pageOf(mapping))
      : undefined;
    if (present === undefined) {
      throw new VfioError("IOVA_OUT_OF_RANGE", {
        problem: `nothing is mapped at IOVA ${hex(mapping)}`,
        hint: "unmap at the IOVA at which the mapping begins",
      });
    }
    this.remove(present);
  }

  /** Where a mapping lies in physical memory. */
  physical(mapping: DmaMapping, offset: number): PhysicalRange {
    if (!this.has(mapping)) {
      throw new VfioError("DETACHED", {
        problem: "the memory is not mapped in its address space any more",
        hint: "map it again: space.map(memory)",
      });
    }
    try {
      return this.#context.physical(mapping, offset);
    } catch (error) {
      throw toVfioError(error, "look up a physical address");
    }
  }

  /** Unmaps everything. What the kernel does not unmap stays mapped. */
  unmapAll(): void {
    for (const mapping of this.values()) this.remove(mapping);
  }

  /**
   * Unmaps a mapping that is there.
   *
   * @param mapping The mapping.
   * @param unmap Unmaps it in the kernel.
   */
  remove(
    mapping: DmaMapping,
    unmap: () => void = () => this.#context.unmap(mapping),
  ): void {
    try {
      unmap();
    } catch (error) {
      throw toVfioError(error, `unmap ${hex(iovaOf(mapping.page))}`);
    }
    this.#iovas.release(mapping.page);
    this.#room.release(mapping);
    this.#dropped.delete(mapping);
    mapping[UNMAPPED]();
  }
}

/** The part of a range that one call maps. */
function part(range: DmaRange, from: number): DmaRange {
  const bytes = Math.min(CALL_BYTES, range.bytes - from);
  if (bytes === range.bytes) return range;
  const { page, file, writable, noIommu } = range;
  const first = page + from / 4096;
  return {
    page: first,
    get iova() {
      return iovaOf(first);
    },
    // A file is not mapped into this process before somebody asks.
    get address() {
      const { address } = range;
      return address === 0n ? 0n : address + BigInt(from);
    },
    file: file && { fd: file.fd, offset: file.offset + from },
    bytes,
    writable,
    noIommu,
  };
}

function movable(bytes: number): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem:
      `cannot map ${bytes} bytes: the kernel may move them in physical ` +
      "memory, and the devices of the address space have no IOMMU",
    hint: "allocate memory while such a device is attached: space.allocate()",
  });
}
