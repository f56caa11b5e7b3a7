import {
  iommu_ioas_allow_iovas,
  iommu_ioas_change_process,
  iommu_iova_range,
  iommu_option,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  iommu_vfio_ioas,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
} from "../../uapi/iommufd/all.ts";
import type { Process } from "../fs/file.ts";
import { put32, put64, received } from "../process/argument.ts";
import { refuse } from "../process/refusal.ts";
import type { Objects } from "./object_table.ts";
import { Ioas } from "./ioas.ts";
import { ioasOf } from "./ioas_calls.ts";
import type { IovaWindow } from "./iommu.ts";

/** What a whole iommufd is told. */
export class ContextCalls {
  readonly #objects: Objects;
  /** Whether locked memory counts for the process, not the user. */
  #byProcess = false;
  /** The IOAS that the calls of a container work on. */
  #compatible: Ioas | undefined;

  /** @param objects The objects of the iommufd. */
  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** Forgets an IOAS that is destroyed. */
  destroyed(ioas: Ioas): void {
    if (this.#compatible === ioas) this.#compatible = undefined;
  }

  /** IOMMU_OPTION (`iommufd_option()`). */
  option(argument: Uint8Array | bigint, process: Process): number {
    const request = received(iommu_option, argument);
    if (request.__reserved !== 0) refuse("EOPNOTSUPP");
    switch (request.option_id) {
      case IOMMU_OPTION_RLIMIT_MODE:
        this.#limitMode(request, argument, process);
        return 0;
      case IOMMU_OPTION_HUGE_PAGES:
        this.#hugePages(request, argument);
        return 0;
      default:
        return refuse("EOPNOTSUPP");
    }
  }

  #limitMode(
    { op, object_id, val64 }: OptionRequest,
    argument: Uint8Array | bigint,
    process: Process,
  ): void {
    if (object_id !== 0) refuse("EOPNOTSUPP");
    if (op === IOMMU_OPTION_OP_GET) return answer(argument, this.#byProcess);
    if (op !== IOMMU_OPTION_OP_SET) refuse("EOPNOTSUPP");
    if (process.uid !== 0) refuse("EPERM");
    if (!this.#objects.empty) refuse("EBUSY");
    if (val64 > 1n) refuse("EINVAL");
    this.#byProcess = val64 === 1n;
  }

  #hugePages(
    { op, object_id, val64 }: OptionRequest,
    argument: Uint8Array | bigint,
  ): void {
    const ioas = ioasOf(this.#objects, object_id);
    if (op === IOMMU_OPTION_OP_GET) return answer(argument, ioas.hugePages);
    if (op !== IOMMU_OPTION_OP_SET) refuse("EOPNOTSUPP");
    if (val64 > 1n) refuse("EINVAL");
    ioas.hugePages = val64 === 1n;
  }

  /** IOMMU_VFIO_IOAS (`iommufd_vfio_ioas()`). */
  vfioIoas(argument: Uint8Array | bigint): number {
    const { op, ioas_id, __reserved } = received(iommu_vfio_ioas, argument);
    if (__reserved !== 0) refuse("EOPNOTSUPP");
    switch (op) {
      case IOMMU_VFIO_IOAS_GET: {
        const found = Iterator.from(this.#objects)
          .find(([, object]) => object === this.#compatible);
        if (found === undefined) return refuse("ENODEV");
        put32(argument, iommu_vfio_ioas.offset.ioas_id, found[0]);
        return 0;
      }
      case IOMMU_VFIO_IOAS_SET:
        this.#compatible = ioasOf(this.#objects, ioas_id);
        return 0;
      case IOMMU_VFIO_IOAS_CLEAR:
        this.#compatible = undefined;
        return 0;
      default:
        return refuse("EOPNOTSUPP");
    }
  }

  /** IOMMU_IOAS_ALLOW_IOVAS (`iommufd_ioas_allow_iovas()`). */
  allowIovas(argument: Uint8Array | bigint, process: Process): number {
    const request = received(iommu_ioas_allow_iovas, argument);
    if (request.__reserved !== 0) refuse("EOPNOTSUPP");
    const ioas = ioasOf(this.#objects, request.ioas_id);
    const allowed: IovaWindow[] = [];
    if (request.num_iovas > 0) {
      const array = process.memory.buffer(request.allowed_iovas);
      for (
        const range of iommu_iova_range.decodeArray(array, request.num_iovas)
      ) {
        const overlaps = allowed.some(({ start, last }) =>
          start <= range.last && range.start <= last
        );
        if (range.start >= range.last || overlaps) refuse("EINVAL");
        allowed.push(range);
      }
    }
    ioas.allow(allowed);
    return 0;
  }

  /** IOMMU_IOAS_CHANGE_PROCESS (`iommufd_ioas_change_process()`). */
  changeProcess(argument: Uint8Array | bigint, process: Process): number {
    const request = received(iommu_ioas_change_process, argument);
    if (request.__reserved !== 0) refuse("EOPNOTSUPP");
    const all = Iterator.from(this.#objects).map(([, object]) => object)
      .filter((object) => object instanceof Ioas).toArray();
    const areas = all.flatMap(({ map }) => [...map.areas]);
    if (areas.some(({ file }) => file === undefined || file.dmaBuf)) {
      return refuse("EINVAL");
    }
    for (const ioas of all) ioas.takeOver(process);
    return 0;
  }
}

interface OptionRequest {
  readonly op: number;
  readonly object_id: number;
  readonly val64: bigint;
}

function answer(argument: Uint8Array | bigint, on: boolean): void {
  put64(argument, iommu_option.offset.val64, on ? 1n : 0n);
}
