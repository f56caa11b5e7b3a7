import { VfioError } from "../../../lib/errors.ts";
import type { SignalOptions } from "../../../lib/kernel/abort.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import { Fd } from "../../../lib/kernel/fd.ts";
import {
  IOMMU_VEVENTQ_ALLOC,
  iommu_veventq_alloc,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  iommufd_vevent_header,
} from "../../../lib/uapi/iommufd/viommu.ts";
import type { Viommu } from "../virtual/viommu.ts";
import { Queue } from "./queue.ts";
import { QueueFile } from "./queue_file.ts";

/** How many events are read at once. */
const BATCH = 16;

/** What an event queue is for. */
export interface EventQueueRequest {
  /** The kind of event, as `IOMMU_VEVENTQ_TYPE_*`. */
  readonly type: number;
  /** The size of an event of this kind, in bytes. */
  readonly eventSize: number;
  /** How many events it holds, at most 2¹⁹. */
  readonly depth: number;
}

/** An event of a virtual IOMMU, or the news that some were lost. */
export interface ViommuEvent {
  /** The event's number, which wraps at 2³¹: a gap counts lost events. */
  readonly sequence: number;
  /** The event; `undefined` where events were lost, as the queue was full. */
  readonly data: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * What a virtual IOMMU reports to its guest
 * (`drivers/iommu/iommufd/eventq.c`).
 *
 * @example Pass events on to a guest
 * ```ts
 * import { EventQueue, type Viommu } from "@passthru/vfio/iommufd";
 * import {
 *   iommu_vevent_arm_smmuv3,
 *   IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
 * } from "@passthru/vfio/uapi";
 *
 * async function passOn(viommu: Viommu, deliver: (evt: Uint8Array) => void) {
 *   using events = EventQueue.allocate(viommu, {
 *     type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
 *     eventSize: iommu_vevent_arm_smmuv3.size,
 *     depth: 128,
 *   });
 *   for await (const { data } of events) {
 *     if (data !== undefined) deliver(data);
 *   }
 * }
 * ```
 */
export class EventQueue extends Queue<ViommuEvent> {
  readonly #eventSize: number;

  private constructor(
    viommu: Viommu,
    id: number,
    file: QueueFile,
    eventSize: number,
  ) {
    const { iommufd } = viommu;
    super({ iommufd, kind: "event queue", id, file, uses: [viommu] });
    this.#eventSize = eventSize;
  }

  /**
   * Makes one. A virtual IOMMU has one of a kind.
   *
   * @param viommu The virtual IOMMU.
   * @param request What it is for.
   * @throws {RangeError} If the depth is not from 1 to 2¹⁹.
   * @throws {VfioError} `IN_USE` where it has one of the kind, `NOT_SUPPORTED`
   * where it has no such kind, `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  static allocate(
    viommu: Viommu,
    { type, eventSize, depth }: EventQueueRequest,
  ): EventQueue {
    if (!Number.isInteger(depth) || depth < 1 || depth > 2 ** 19) {
      throw new RangeError(
        `Cannot make a queue of ${depth} events: expected 1 to ${2 ** 19}`,
      );
    }
    const { iommufd } = viommu;
    const argument = iommu_veventq_alloc.alloc({
      viommu_id: viommu.id,
      type,
      veventq_depth: depth,
    });
    try {
      iommufd.call("allocate an event queue", IOMMU_VEVENTQ_ALLOC, argument);
    } catch (error) {
      const { cause } = error as Error;
      if (!hasErrno(cause, "EEXIST")) throw error;
      throw new VfioError("IN_USE", {
        problem: `${viommu.name} has an event queue of this kind already`,
        hint: "destroy that first",
        cause,
      });
    }
    const { out_veventq_id, out_veventq_fd } = iommu_veventq_alloc
      .decode(argument);
    const fd = Fd.adopt(iommufd.kernel, out_veventq_fd);
    const room = BATCH * (iommufd_vevent_header.size + eventSize);
    const file = new QueueFile(iommufd.kernel, fd, room);
    return new EventQueue(viommu, out_veventq_id, file, eventSize);
  }

  /**
   * Iterates over the events as they come, and ends when the queue is destroyed.
   *
   * @param options A signal, which ends it with its reason as the error.
   */
  events(options: SignalOptions = {}): AsyncGenerator<ViommuEvent> {
    return this.items(options);
  }

  /** Takes events apart. */
  protected override decode(bytes: Uint8Array<ArrayBuffer>): ViommuEvent[] {
    const header = iommufd_vevent_header;
    const events: ViommuEvent[] = [];
    for (let at = 0; at < bytes.length;) {
      const { flags, sequence } = header.decode(bytes, at);
      at += header.size;
      const lost = (flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) !== 0;
      const end = lost ? at : at + this.#eventSize;
      events.push({
        sequence,
        data: lost ? undefined : bytes.slice(at, end),
      });
      at = end;
    }
    return events;
  }
}
