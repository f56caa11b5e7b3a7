/**
 * The registers of an NVMe controller: what it can do, starting and stopping it
 * (NVM Express Base Specification 2.0, section 3.1).
 *
 * @module
 */
import type { Registers, VfioDevice } from "../../mod.ts";
import { deviceLost, NvmeError } from "./error.ts";

// In BAR 0
const CAP = 0x00;
const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;
/** The first doorbell. */
export const DOORBELLS = 0x1000;

const CC_ENABLE = 1;
/** Commands of 2^6 bytes, completions of 2^4, pages of 4 KiB. */
const CC_SIZES = 6 << 16 | 4 << 20;
const CC_NORMAL_SHUTDOWN = 1 << 14;
const CSTS_READY = 1;
const CSTS_FATAL = 2;
const CSTS_SHUTDOWN = 3 << 2;
const CSTS_SHUTDOWN_COMPLETE = 2 << 2;
const ALL_ONES = 0xffff_ffff;

/** How long a shutdown may take, in milliseconds. */
const SHUTDOWN_LIMIT = 10_000;

/** Where the admin queue is, and how long it is. */
export interface AdminRings {
  /** Slots of each ring. */
  readonly entries: number;
  /** The IOVA of the commands. */
  readonly commands: bigint;
  /** The IOVA of the completions. */
  readonly completions: bigint;
}

/** What doorbells need of the registers. */
export interface DoorbellRegisters {
  /** BAR 0, or a Worker's view of it. */
  readonly bar: Pick<Registers, "write32">;
  /** Bytes from one doorbell to the next. */
  readonly stride: number;
}

/** A controller's registers. */
export class ControllerRegisters implements DoorbellRegisters {
  readonly #device: VfioDevice;
  readonly #bar: Registers;
  /** The most slots in a ring. */
  readonly maxEntries: number;
  /** Bytes from one doorbell to the next. */
  readonly stride: number;
  /** How long a start or a stop may take, in milliseconds. */
  readonly timeout: number;

  /**
   * Reads what the controller can do.
   *
   * @param device The controller.
   * @param bar Its BAR 0.
   * @throws {NvmeError} `UNSUPPORTED` if it takes no pages of 4 KiB.
   * @throws {VfioError} `DEVICE_LOST`.
   */
  constructor(device: VfioDevice, bar: Registers) {
    this.#device = device;
    this.#bar = bar;
    const low = bar.read32(CAP);
    const high = bar.read32(CAP + 4);
    if (low === ALL_ONES && high === ALL_ONES) throw deviceLost(device.name);
    if ((high >>> 16 & 0xf) !== 0) {
      throw new NvmeError("UNSUPPORTED", {
        device: device.name,
        problem: "the controller takes no pages of 4 KiB",
      });
    }
    this.maxEntries = (low & 0xffff) + 1;
    this.timeout = 500 * Math.max(1, low >>> 24);
    this.stride = 4 << (high & 0xf);
  }

  /** BAR 0, for the doorbells. */
  get bar(): Registers {
    return this.#bar;
  }

  /**
   * Checks that the controller works.
   *
   * @returns `"failed"` where it says that it does not.
   * @throws {VfioError} `DEVICE_LOST` if it is gone.
   */
  check(): "works" | "failed" {
    const status = this.#bar.read32(CSTS);
    if (status === ALL_ONES) throw deviceLost(this.#device.name);
    return (status & CSTS_FATAL) === 0 ? "works" : "failed";
  }

  /**
   * Starts it with its admin queue. It must be stopped.
   *
   * @throws {NvmeError} `NOT_READY` if it does not start within its own limit.
   * @throws {VfioError} `DEVICE_LOST`.
   */
  async start(rings: AdminRings): Promise<void> {
    const last = rings.entries - 1;
    this.#bar.write32(AQA, last << 16 | last);
    // Some controllers take no access of 64 bits.
    writeHalves(this.#bar, ASQ, rings.commands);
    writeHalves(this.#bar, ACQ, rings.completions);
    this.#bar.write32(CC, CC_SIZES | CC_ENABLE);
    await this.#until(CSTS_READY, CSTS_READY, "start", this.timeout);
  }

  /**
   * Stops it at once: it forgets its commands and its queues.
   *
   * @throws As {@linkcode ControllerRegisters.start}.
   */
  async stop(): Promise<void> {
    this.#bar.write32(CC, 0);
    await this.#until(CSTS_READY, 0, "stop", this.timeout);
  }

  /**
   * Has it write what it caches, before its power can go.
   *
   * @throws As {@linkcode ControllerRegisters.start}.
   */
  async shutDown(): Promise<void> {
    this.#bar.write32(CC, CC_SIZES | CC_ENABLE | CC_NORMAL_SHUTDOWN);
    await this.#until(
      CSTS_SHUTDOWN,
      CSTS_SHUTDOWN_COMPLETE,
      "shut down",
      SHUTDOWN_LIMIT,
    );
  }

  async #until(
    mask: number,
    value: number,
    verb: string,
    limit: number,
  ): Promise<void> {
    const deadline = performance.now() + limit;
    for (let pause = 0;; pause = Math.min(16, pause * 2 || 1)) {
      const status = this.#bar.read32(CSTS);
      if (status === ALL_ONES) throw deviceLost(this.#device.name);
      if ((status & mask) === value) return;
      const hasFailed = value !== 0 && (status & CSTS_FATAL) !== 0;
      if (hasFailed || performance.now() > deadline) {
        throw new NvmeError("NOT_READY", {
          device: this.#device.name,
          problem: hasFailed
            ? `the controller failed to ${verb}`
            : `the controller did not ${verb} in ${limit} ms`,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

function writeHalves(bar: Registers, offset: number, value: bigint): void {
  bar.write32(offset, Number(value & 0xffff_ffffn));
  bar.write32(offset + 4, Number(value >> 32n));
}
