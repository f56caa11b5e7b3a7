import { toVfioError, VfioError } from "../../../lib/errors.ts";
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
import { IommufdObject } from "../core/object.ts";
import { PageRequest } from "./page_request.ts";
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
export class FaultQueue extends IommufdObject
  implements AsyncIterable<PageRequest> {
  readonly #file: QueueFile;
  /** Requests that were read and not yet given out. */
  readonly #read: PageRequest[] = [];

  private constructor(iommufd: IommufdFile, id: number, file: QueueFile) {
    super(iommufd, "fault queue", id);
    this.#file = file;
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
   * Returns the next request that is there.
   *
   * @returns The request; `undefined` where there is none.
   * @throws {VfioError} `DETACHED` once it is destroyed, `KERNEL`.
   */
  take(): PageRequest | undefined {
    this.assertThere();
    if (this.#read.length === 0) this.#fill();
    return this.#read.shift();
  }

  /**
   * Waits for the next request.
   *
   * @param options A signal, which gives the wait up.
   * @throws {VfioError} `DETACHED` when it is destroyed, `KERNEL`.
   * @throws The signal's reason, when it is aborted.
   */
  async next(options: SignalOptions = {}): Promise<PageRequest> {
    for (;;) {
      const request = this.take();
      if (request !== undefined) return request;
      await this.#file.readable(options);
    }
  }

  /**
   * Iterates over the requests as they come, and ends when the queue is
   * destroyed.
   *
   * @param options A signal, which ends it with its reason as the error.
   */
  async *requests(options: SignalOptions = {}): AsyncGenerator<PageRequest> {
    while (!this.destroyed && !this.#file.closed) {
      const request = this.take();
      if (request !== undefined) yield request;
      else if (!await this.#file.readable(options)) return;
    }
  }

  /** The same as {@linkcode FaultQueue.requests} without a signal. */
  [Symbol.asyncIterator](): AsyncGenerator<PageRequest> {
    return this.requests();
  }

  #fill(): void {
    let bytes: Uint8Array;
    try {
      bytes = this.#file.read();
    } catch (error) {
      throw toVfioError(error, `read from ${this.name}`);
    }
    const layout = iommu_hwpt_pgfault;
    const faults = layout.decodeArray(bytes, bytes.length / layout.size);
    for (let from = 0; from < faults.length;) {
      // The kernel gives whole groups only.
      let to = from;
      while (!(faults[to]!.flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE)) to++;
      this.#read.push(
        new PageRequest(
          faults.slice(from, to + 1),
          (cookie, ok) => this.#answer(cookie, ok),
        ),
      );
      from = to + 1;
    }
  }

  #answer(cookie: number, ok: boolean): void {
    this.assertThere();
    const answer = iommu_hwpt_page_response.alloc({
      cookie,
      code: ok ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID,
    });
    try {
      this.#file.write(answer);
    } catch (error) {
      throw new VfioError("DETACHED", {
        problem: `a page request of ${this.name} was answered by the kernel, ` +
          "as its device was moved or detached",
        hint: "answer requests before the device is moved",
        cause: error,
      });
    }
  }

  /** Closes its file, which keeps it. */
  protected override release(): void {
    this.#file.close();
  }
}
