/**
 * The devices of an address space, for `VfioDevice` and nobody else: `mod.ts`
 * does not export what is here.
 *
 * @module
 */

import type { Attachment, AttachRequest } from "../../backends/backend.ts";
import type { HostDevice } from "../host/device.ts";

/** IOVAs, in bytes. */
export interface LoggedIovas {
  /** The first one. */
  readonly iova: bigint;
  /** How many bytes. */
  readonly size: bigint;
}

/** A device's own log of the memory that it writes. */
export interface MemberLog {
  /** What the device tells apart, in bytes. */
  readonly pageSize: number;
  /**
   * Returns which pages were written since the last report, a bit a page.
   *
   * @param range Some of the IOVAs that are logged.
   * @param pageSize What a bit stands for, in bytes.
   */
  report(range: LoggedIovas, pageSize: number): Promise<Uint8Array>;
  /** Ends it. */
  stop(): Promise<void>;
}

/** The name of what starts a member's log. */
export const LOG_DMA: unique symbol = Symbol("log DMA");
/** The name of what says whether a member could write memory now. */
export const MAY_WRITE: unique symbol = Symbol("may write");

/** An attached device, as its address space needs to know it. */
export interface Member {
  /** Its name. */
  readonly name: string;
  /** Whether it pins only what it accesses. */
  readonly pinsOnDemand: boolean;
  /** Detaches it. */
  detach(): Promise<void>;
  /** @ignore Whether it could write memory now. */
  [MAY_WRITE](): boolean;
  /**
   * @ignore Has it log which memory it writes; `undefined` where it has no log.
   */
  [LOG_DMA](ranges: readonly LoggedIovas[]): Promise<MemberLog | undefined>;
}

/** Attaches a device to a space; `enter` is called while it is attached. */
type Attach = <M extends Member>(
  device: HostDevice,
  options: AttachRequest,
  enter: (attachment: Attachment) => M,
) => Promise<M>;

/** The name of an address space's {@linkcode Members}. */
export const MEMBERS: unique symbol = Symbol("members");

/** The devices that are attached to an address space, or on the way to it. */
export class Members {
  readonly #attach: Attach;
  readonly #members = new Set<Member>();
  /** One for each device on the way; done when that is over. */
  readonly #arrivals = new Set<Promise<void>>();
  readonly #left: (member: Member) => void;

  /**
   * Makes an empty set.
   *
   * @param attach Attaches a device to the space.
   * @param left Called when a device was detached.
   */
  constructor(attach: Attach, left: (member: Member) => void) {
    this.#attach = attach;
    this.#left = left;
  }

  /** The devices that are attached. */
  values(): Iterable<Member> {
    return this.#members;
  }

  /**
   * Attaches a device and adds it.
   *
   * @param device The device.
   * @param options How it is attached.
   * @param make Makes the member of the attached device. When it throws, the
   * device is detached.
   * @returns The member.
   */
  async attach<M extends Member>(
    device: HostDevice,
    options: AttachRequest,
    make: (attachment: Attachment) => M,
  ): Promise<M> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#arrivals.add(promise);
    try {
      return await this.#attach(device, options, (attachment) => {
        const member = make(attachment);
        this.#members.add(member);
        return member;
      });
    } finally {
      this.#arrivals.delete(promise);
      resolve();
    }
  }

  /** Waits until no device is on the way. */
  async arrived(): Promise<void> {
    while (this.#arrivals.size > 0) await Promise.all(this.#arrivals);
  }

  /** Whether a device pins all that is mapped, or could: one on the way. */
  get pinsAll(): boolean {
    return this.#arrivals.size > 0 ||
      [...this.#members].some(({ pinsOnDemand }) => !pinsOnDemand);
  }

  /** Removes a device that was detached. */
  remove(member: Member): void {
    this.#members.delete(member);
    this.#left(member);
  }

  /**
   * Waits for the devices on the way, and detaches all.
   *
   * @returns What went wrong.
   */
  async detachAll(): Promise<unknown[]> {
    await this.arrived();
    const detached = await Promise.allSettled(
      [...this.#members].map((member) => member.detach()),
    );
    return detached.flatMap((result) =>
      result.status === "rejected" ? [result.reason] : []
    );
  }
}
