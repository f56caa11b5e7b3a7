import { VfioError } from "../../../lib/errors.ts";
import type { SignalOptions } from "../../../lib/kernel/abort.ts";
import { Fd } from "../../../lib/kernel/fd.ts";
import {
  iommu_fault_alloc,
  IOMMU_FAULT_QUEUE_ALLOC,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
} from "../../../lib/uapi/iommufd/fault.ts";
import type { IommufdFile } from "../core/iommufd_file.ts";
import { PageRequest } from "./page_request.ts";
import { Queue } from "./queue.ts";
import { QueueFile } from "./queue_file.ts";

/** How many page requests are read at once. */
const BATCH = 64;

/**
 * The page requests of devices whose page tables have this queue
 * (`drivers/iommu/iommufd/eventq.c`). A device waits until each is answered.
 *
 * @example Answer each request of a device
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { FaultQueue, Hwpt } from "@passthru/vfio/iommufd";
 *
 * await using space = new AddressSpace({ backend: "iommufd" });
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 *
 * async function serve() {
 *   const { iommufd, ioas, find } = await space.iommufd();
 *   using faultQueue = FaultQueue.allocate(iommufd);
 *   using table = Hwpt.allocate(find(device), ioas, { faultQueue });
 *   find(device).attach(table);
 *   for await (const request of faultQueue) {
 *     for (const { address } of request.pages) console.log(address);
 *     request.answer("success");
 *   }
 * }
 * ```
 */
export class FaultQueue extends Queue<PageRequest> {
  private constructor(iommufd: IommufdFile, id: number, file: QueueFile) {
    super({ iommufd, kind: "fault queue", id, file });
  }

  /**
   * Makes one.
   *
   * @param iommufd The iommufd.
   * @throws {VfioError} `NO_MEMORY`, `DETACHED`, `KERNEL`.
   */
  static allocate(iommufd: IommufdFile): FaultQueue {
    const argument = iommu_fault_alloc.alloc();
    iommufd.call("allocate a fault queue", IOMMU_FAULT_QUEUE_ALLOC, argument);
    const { out_fault_id, out_fault_fd } = iommu_fault_alloc.decode(argument);
    const fd = Fd.adopt(iommufd.kernel, out_fault_fd);
    const room = BATCH * iommu_hwpt_pgfault.size;
    const file = new QueueFile(iommufd.kernel, fd, room);
    return new FaultQueue(iommufd, out_fault_id, file);
  }

  /**
   * Iterates over the requests as they come, and ends when the queue is
   * destroyed.
   *
   * @param options A signal, which ends it with its reason as the error.
   */
  requests(options: SignalOptions = {}): AsyncGenerator<PageRequest> {
    return this.items(options);
  }

  /** Takes groups of faults apart, each of which is a request. */
  protected override decode(bytes: Uint8Array): PageRequest[] {
    const layout = iommu_hwpt_pgfault;
    const faults = layout.decodeArray(bytes, bytes.length / layout.size);
    const requests: PageRequest[] = [];
    for (let from = 0; from < faults.length;) {
      // The kernel gives whole groups only.
      let to = from;
      while (!(faults[to]!.flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE)) to++;
      requests.push(
        new PageRequest(
          faults.slice(from, to + 1),
          (cookie, ok) => this.#answer(cookie, ok),
        ),
      );
      from = to + 1;
    }
    return requests;
  }

  #answer(cookie: number, ok: boolean): void {
    this.assertThere();
    const answer = iommu_hwpt_page_response.alloc({
      cookie,
      code: ok ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID,
    });
    try {
      this.file.write(answer);
    } catch (error) {
      throw new VfioError("DETACHED", {
        problem: `a page request of ${this.name} was answered by the kernel, ` +
          "as its device was moved or detached",
        hint: "answer requests before the device is moved",
        cause: error,
      });
    }
  }
}
