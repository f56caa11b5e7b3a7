import type { Decoded } from "../../../lib/uapi/layout.ts";
import {
  type iommu_hwpt_pgfault,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_EXEC,
  IOMMU_PGFAULT_PERM_PRIV,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
} from "../../../lib/uapi/iommufd/fault.ts";

type Fault = Decoded<typeof iommu_hwpt_pgfault.fields>;

/** A page that a device asks for. */
export interface RequestedPage {
  /** Its address, as the device has it, in bytes. */
  readonly address: bigint;
  /** How many bytes the device hints that it needs from there. */
  readonly length: number;
  /** Whether it wants to read. */
  readonly read: boolean;
  /** Whether it wants to write. */
  readonly write: boolean;
  /** Whether it wants to execute. */
  readonly execute: boolean;
  /** Whether it asks with privilege. */
  readonly privileged: boolean;
}

/** A device's request for pages, which it waits for. */
export class PageRequest {
  /** The device's number in its iommufd: {@linkcode IommufdDevice.id}. */
  readonly deviceId: number;
  /** The PASID that it asks with, if any. */
  readonly pasid: number | undefined;
  /** The number that the device gave its request. */
  readonly group: number;
  /** The pages. */
  readonly pages: readonly RequestedPage[];
  readonly #cookie: number;
  readonly #answer: (cookie: number, ok: boolean) => void;
  #answered = false;

  /**
   * Made by a fault queue.
   *
   * @param faults The records of the request, the last one last.
   * @param answer Answers it.
   */
  constructor(
    faults: readonly Fault[],
    answer: (cookie: number, ok: boolean) => void,
  ) {
    const last = faults.at(-1)!;
    const hasPasid = (last.flags & IOMMU_PGFAULT_FLAGS_PASID_VALID) !== 0;
    this.deviceId = last.dev_id;
    this.pasid = hasPasid ? last.pasid : undefined;
    this.group = last.grpid;
    this.pages = faults.map(({ addr, length, perm }) => ({
      address: addr,
      length,
      read: (perm & IOMMU_PGFAULT_PERM_READ) !== 0,
      write: (perm & IOMMU_PGFAULT_PERM_WRITE) !== 0,
      execute: (perm & IOMMU_PGFAULT_PERM_EXEC) !== 0,
      privileged: (perm & IOMMU_PGFAULT_PERM_PRIV) !== 0,
    }));
    this.#cookie = last.cookie;
    this.#answer = answer;
  }

  /** Whether it was answered. */
  get answered(): boolean {
    return this.#answered;
  }

  /**
   * Answers it, so that the device goes on.
   *
   * @param answer `"success"` where the pages are mapped now, so that the device
   * tries again; `"invalid"` where it may not have them.
   * @throws {TypeError} If it was answered, or there is no such answer.
   * @throws {VfioError} `DETACHED` if the kernel has answered it, as the device
   * was moved or the queue destroyed.
   */
  answer(answer: "success" | "invalid"): void {
    if (this.#answered) throw new TypeError("Cannot answer a request twice");
    if (answer !== "success" && answer !== "invalid") {
      throw new TypeError(
        `Cannot answer ${JSON.stringify(answer)}: expected "success" or ` +
          '"invalid"',
      );
    }
    this.#answered = true;
    this.#answer(this.#cookie, answer === "success");
  }
}
