import type {
  DmaRange,
  FileRange,
  IommuLimits,
  PhysicalRange,
} from "../../backends/backend.ts";
import { ignoreErrors } from "../../backends/teardown.ts";
import { toVfioError, VfioError } from "../errors.ts";
import { hex } from "../hex.ts";
import type { ReservedRegion } from "../host/device.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import { traced, type TracedEvent, tracerOf } from "../tracing.ts";
import { iovaOf } from "../uapi/layout.ts";
import { IovaSpace, pageOf } from "./iova_space.ts";
import {
  DmaMapping,
  type MapOptions,
  type MappingOwner,
  type TrackedMemory,
  UNMAPPED,
} from "./mapping.ts";
import type { SpaceContext } from "./space_context.ts";

/**
 * How much is mapped by one call to the kernel where the event loop is not to
 * wait. A call cannot be given up, and pinning 1 GiB takes about 20 ms.
 */
const CALL_BYTES = 2 ** 30;

/** The memory behind a mapping. */
export interface MappedMemory {
  /** Where this process sees it. */
  readonly address: bigint;
  /** Bytes, whole pages. */
  readonly size: number;
  /** The file that it is memory of, where it is one's. */
  readonly file?: FileRange;
  /** Whether it stays where it is in physical memory. Default: not. */
  readonly immovable?: boolean;
}

/** What maps in the kernel. */
type Mapper = Pick<
  SpaceContext,
  "map" | "mapAsync" | "unmap" | "physical" | "noIommu"
>;

/** What is mapped in an address space, whether a device is attached or not. */
export class Mappings implements MappingOwner {
  readonly #context: Mapper;
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
  }

  /** {@linkcode IovaSpace.arrive} */
  arrive(reserved: () => readonly ReservedRegion[]): Disposable {
    return this.#iovas.arrive(reserved);
  }

  /** All of them, by ascending IOVA. */
  values(): Iterable<DmaMapping> {
    return this.#iovas.holders();
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
  ): DmaMapping {
    this.#assertStays(memory);
    const page = this.#iovas.find(memory.size, options);
    const mapping = this.#make(page, memory, options, tracked);
    try {
      this.#context.map(mapping);
    } catch (error) {
      throw toVfioError(error, `map ${mapping.bytes} bytes`);
    }
    this.#iovas.take(page, mapping.bytes, mapping);
    return mapping;
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
    const page = this.#iovas.place(memory.size, options);
    const mapping = this.#make(page, memory, options, tracked);
    const { bytes } = mapping;
    const done: DmaRange[] = [];
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
    { address, size, file }: MappedMemory,
    options: MapOptions,
    tracked: TrackedMemory | undefined,
  ): DmaMapping {
    return new DmaMapping(
      this,
      page,
      address,
      file,
      size,
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
      if (this.#iovas.holder(mapping.page) === mapping) this.#remove(mapping);
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
    this.#remove(present);
  }

  /** Where a mapping lies in physical memory. */
  physical(mapping: DmaMapping, offset: number): PhysicalRange {
    if (this.#iovas.holder(mapping.page) !== mapping) {
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
    for (const mapping of this.values()) this.#remove(mapping);
  }

  #remove(mapping: DmaMapping): void {
    try {
      this.#context.unmap(mapping);
    } catch (error) {
      throw toVfioError(error, `unmap ${hex(iovaOf(mapping.page))}`);
    }
    this.#iovas.release(mapping.page);
    mapping[UNMAPPED]();
  }
}

/** The part of a range that one call maps. */
function part(range: DmaRange, from: number): DmaRange {
  const bytes = Math.min(CALL_BYTES, range.bytes - from);
  if (bytes === range.bytes) return range;
  const { page, address, file, writable, noIommu } = range;
  const first = page + from / 4096;
  return {
    page: first,
    get iova() {
      return iovaOf(first);
    },
    address: address + BigInt(from),
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
