/**
 * `/dev/iommu`: IO address spaces (`drivers/iommu/iommufd/`).
 *
 * @module
 */

import type { Ioctl } from "../uapi/ioctl.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
  IOMMU_IOAS_ALLOC,
  iommu_ioas_alloc,
  IOMMU_IOAS_IOVA_RANGES,
  iommu_ioas_iova_ranges,
  IOMMU_IOAS_MAP,
  iommu_ioas_map,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_unmap,
} from "../uapi/iommufd.ts";
import { inMemory, received } from "./argument.ts";
import type { OpenFile, Process } from "./file.ts";
import { Ioas } from "./ioas.ts";
import type { Machine } from "./machine.ts";
import { refuse } from "./refusal.ts";

/** A device that is bound to an iommufd: it cannot be destroyed while it is. */
export type BoundDevice = { readonly kind: "device" };

/** The objects of one iommufd, by id. */
export class IommufdFile implements OpenFile {
  readonly shown = "/dev/iommu";
  readonly #machine: Machine;
  readonly #objects = new Map<number, Ioas | BoundDevice>();
  /** Devices bound to it, and its own descriptor. */
  #users = 1;

  /**
   * An iommufd without objects.
   *
   * @param machine The machine it is on.
   */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Binds a device; gives its id. The device keeps the iommufd. */
  bind(): number {
    this.#users++;
    return this.#add({ kind: "device" });
  }

  /** Undoes {@linkcode IommufdFile.bind}. */
  unbind(id: number): void {
    this.#objects.delete(id);
    this.#put();
  }

  /** The IOAS with an id: ENOENT where there is none. */
  ioas(id: number): Ioas {
    const object = this.#objects.get(id);
    return object instanceof Ioas ? object : refuse("ENOENT");
  }

  /** What a device can be attached to. */
  pageTable(id: number): Ioas {
    const object = this.#objects.get(id) ?? refuse("ENOENT");
    return object instanceof Ioas ? object : refuse("EINVAL");
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case IOMMU_IOAS_ALLOC.request: {
        const { flags } = received(iommu_ioas_alloc, argument);
        if (flags !== 0) refuse("EOPNOTSUPP");
        const id = this.#add(new Ioas(this.#machine));
        put32(argument, iommu_ioas_alloc.offset.out_ioas_id, id);
        return 0;
      }
      case IOMMU_DESTROY.request:
        return this.#destroy(received(iommu_destroy, argument).id);
      case IOMMU_IOAS_IOVA_RANGES.request: {
        const { ioas_id } = received(iommu_ioas_iova_ranges, argument);
        return this.ioas(ioas_id).iovaRanges(inMemory(argument), process);
      }
      case IOMMU_IOAS_MAP.request: {
        const map = received(iommu_ioas_map, argument);
        const iova = this.ioas(map.ioas_id).mapUser(map, process);
        put64(argument, iommu_ioas_map.offset.iova, iova);
        return 0;
      }
      case IOMMU_IOAS_UNMAP.request: {
        const unmap = received(iommu_ioas_unmap, argument);
        const bytes = this.ioas(unmap.ioas_id).unmapRange(unmap);
        put64(argument, iommu_ioas_unmap.offset.length, bytes);
        return 0;
      }
      default:
        return refuse("ENOTTY");
    }
  }

  close(): void {
    this.#put();
  }

  #add(object: Ioas | BoundDevice): number {
    let id = 1;
    while (this.#objects.has(id)) id++;
    this.#objects.set(id, object);
    return id;
  }

  #destroy(id: number): number {
    const object = this.#objects.get(id) ?? refuse("ENOENT");
    if (!(object instanceof Ioas) || object.attached > 0) refuse("EBUSY");
    object.unmapAll();
    this.#objects.delete(id);
    return 0;
  }

  #put(): void {
    if (--this.#users > 0) return;
    for (const object of this.#objects.values()) {
      if (object instanceof Ioas) object.unmapAll();
    }
    this.#objects.clear();
  }
}

function put32(
  argument: Uint8Array | bigint,
  at: number,
  value: number,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true);
}

function put64(
  argument: Uint8Array | bigint,
  at: number,
  value: bigint,
): void {
  const bytes = inMemory(argument);
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(at, value, true);
}
