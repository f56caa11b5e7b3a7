/**
 * A userspace NVMe driver: starts a controller, identifies it, makes queues,
 * and resets it where it does not answer (NVM Express Base Specification 2.0,
 * NVM Command Set Specification 1.0).
 *
 * @module
 */
import type { IrqVector, MappedRegisters, VfioDevice } from "../../mod.ts";
import { Admin } from "./admin.ts";
import { BlockDevice } from "./block_device.ts";
import { Doorbells } from "./doorbells.ts";
import { NvmeError } from "./error.ts";
import type { Health, Identity, Namespace } from "./identity.ts";
import type { IoQueue, QueueOptions } from "./io_queue.ts";
import { QueuePair } from "./queue_pair.ts";
import { queueBytes } from "./queue_shape.ts";
import { Queues } from "./queues.ts";
import { ControllerRegisters } from "./registers.ts";
import { Requests } from "./requests.ts";
import { makeAdminWaiter } from "./waiting.ts";
import { Watchdog } from "./watchdog.ts";
import { describeQueue, type PostedQueue } from "./worker_queue.ts";

/** Slots of the admin queue. */
const ADMIN_ENTRIES = 32;
/** How long a command may take unless it is said, in milliseconds. */
const TIME_LIMIT = 30_000;

/** How a controller is started. */
export interface StartOptions {
  /**
   * How many vectors of MSI-X it has for queues that wait by interrupt.
   *
   * @default {0}
   */
  readonly interrupts?: number;
  /**
   * How long a command may take, in milliseconds. After that it is aborted, and
   * where that does not help the controller is reset.
   *
   * @default {30000}
   */
  readonly timeLimit?: number;
  /**
   * Whether doorbells are in memory where the controller offers that, as an
   * emulated one does.
   *
   * @default {true}
   */
  readonly shadowDoorbells?: boolean;
}

/** What a controller is made of. */
interface Parts {
  readonly device: VfioDevice;
  readonly bar: MappedRegisters;
  readonly registers: ControllerRegisters;
  readonly doorbells: Doorbells;
  readonly adminPair: QueuePair;
  readonly vectors: readonly IrqVector[];
}

/** A running controller. Disposing of it shuts it down. */
export class NvmeController implements AsyncDisposable {
  readonly #device: VfioDevice;
  readonly #bar: MappedRegisters;
  readonly #registers: ControllerRegisters;
  readonly #adminPair: QueuePair;
  readonly #adminRequests: Requests;
  readonly #admin: Admin;
  readonly #queues: Queues;
  readonly #watchdog: Watchdog;
  readonly #owned: AsyncDisposableStack;
  #recovery: Promise<void> | undefined;
  /** Whether a recovery has stopped the controller, and starts it again. */
  #isStarting = false;
  #ended: Promise<void> | undefined;

  private constructor(
    { device, bar, registers, doorbells, adminPair, vectors }: Parts,
    { timeLimit, shadowDoorbells }: Required<StartOptions>,
    owned: AsyncDisposableStack,
  ) {
    this.#device = device;
    this.#bar = bar;
    this.#registers = registers;
    this.#adminPair = adminPair;
    this.#owned = owned;
    const requests = (
      pair: QueuePair,
      makeWaiter: ConstructorParameters<typeof Requests>[3],
    ) =>
      new Requests(
        device.name,
        pair,
        timeLimit,
        makeWaiter,
        (error) => void this.#recover(error),
      );
    this.#adminRequests = requests(adminPair, makeAdminWaiter);
    this.#admin = new Admin(device, this.#adminRequests);
    this.#watchdog = new Watchdog(device.name, {
      check: () => this.check(),
      abort: (queue, id) => this.#admin.abort(queue, id),
      recover: (error) => void this.#recover(error),
      lost: (error) => this.#end(error),
    });
    this.#watchdog.add({ id: 0, requests: this.#adminRequests });
    this.#queues = new Queues({
      ...{ device, doorbells, vectors, shadowDoorbells, requests },
      maxEntries: registers.maxEntries,
      admin: this.#admin,
      watchdog: this.#watchdog,
    });
  }

  /**
   * Resets a controller, and starts it with its admin queue in DMA memory.
   *
   * @param device The controller, attached.
   * @param options Its interrupts and its time limit.
   * @throws {NvmeError} `NOT_READY` if it does not start within the time limit
   * that it announces; `UNSUPPORTED`.
   * @throws {VfioError} `DEVICE_LOST`, `VECTORS_EXHAUSTED` and others.
   */
  static async start(
    device: VfioDevice,
    options: StartOptions = {},
  ): Promise<NvmeController> {
    const { interrupts = 0, timeLimit = TIME_LIMIT } = options;
    const { shadowDoorbells = true } = options;
    await using stack = new AsyncDisposableStack();
    const bar = stack.use(device.region(0).map());
    const registers = new ControllerRegisters(device, bar);
    await registers.stop();
    const vectors: IrqVector[] = [];
    if (interrupts > 0) {
      const msix = device.irq("msix");
      vectors.push(...await msix.enable(interrupts));
      stack.defer(async () => {
        if (device.attached) await msix.disable();
      });
    }
    const doorbells = stack.use(new Doorbells(registers));
    const entries = Math.min(ADMIN_ENTRIES, registers.maxEntries);
    const sizes = { entries, completions: entries, lists: false };
    const memory = device.space.allocate(queueBytes(sizes));
    const adminPair = stack.use(
      new QueuePair(0, device.name, memory, doorbells, sizes),
    );
    const controller = new NvmeController(
      { device, bar, registers, doorbells, adminPair, vectors },
      { interrupts, timeLimit, shadowDoorbells },
      stack.move(),
    );
    try {
      device.setBusMaster(true);
      await controller.#start();
      return controller;
    } catch (error) {
      await controller[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The controller's address. */
  get name(): string {
    return this.#device.name;
  }

  /** The controller's device. */
  get device(): VfioDevice {
    return this.#device;
  }

  /** Identifies the controller. */
  async identify(): Promise<Identity> {
    return await this.#admin.identify();
  }

  /** The numbers of its active namespaces, 1,024 at most. */
  async namespaces(): Promise<number[]> {
    return await this.#admin.namespaces();
  }

  /**
   * Reads what a namespace is.
   *
   * @param id Its number.
   * @throws {NvmeError} `UNSUPPORTED` if its blocks have metadata.
   */
  async namespace(id: number): Promise<Namespace> {
    return await this.#admin.namespace(id);
  }

  /** Reads how the drive is. */
  async health(): Promise<Health> {
    return await this.#admin.health();
  }

  /**
   * Reads a log page.
   *
   * @param page Its number.
   * @param bytes How much of it, 4096 at most.
   */
  async logPage(page: number, bytes: number): Promise<Uint8Array> {
    return await this.#admin.logPage(page, bytes);
  }

  /**
   * Checks that the controller works, by one register.
   *
   * @returns `"failed"` where it says that it does not.
   * @throws {VfioError} `DEVICE_LOST` if it is gone, `DETACHED`.
   */
  check(): "works" | "failed" {
    return this.#registers.check();
  }

  /**
   * Makes a queue for reading and writing.
   *
   * @param options How many commands can be under way, and how it waits.
   * @throws {RangeError} If the controller has no queues so deep.
   * @throws {TypeError} If it is to wait by interrupt, and there is none.
   * @throws {NvmeError} `UNSUPPORTED` if the controller has no more queues.
   */
  async queue(options: QueueOptions = {}): Promise<IoQueue> {
    await this.#recovery;
    return await this.#queues.make(options);
  }

  /**
   * Describes a queue for a Worker, which takes it over by `adoptQueue`. It must
   * not be used here any more, and the Worker must have ended when the queue is
   * deleted, or the controller reset or stopped.
   *
   * @param queue A queue that nobody has used yet.
   */
  post(queue: IoQueue): PostedQueue {
    return describeQueue(this.#device.name, queue.pair, this.#bar);
  }

  /**
   * Opens a namespace for reading and writing.
   *
   * @param id The namespace's number.
   * @param options Its queue.
   * @returns The block device, which has a queue of its own.
   */
  async open(id = 1, options: QueueOptions = {}): Promise<BlockDevice> {
    const { maxTransfer } = await this.#admin.identify();
    const namespace = await this.#admin.namespace(id);
    const queue = await this.queue(options);
    return new BlockDevice(this.#device.space, namespace, queue, maxTransfer);
  }

  /**
   * Resets the controller, and makes its queues again. Commands under way end
   * with `RESET`.
   *
   * @throws {NvmeError} `NOT_READY`. It can only be disposed of then.
   * @throws {VfioError} `DEVICE_LOST`.
   */
  async reset(): Promise<void> {
    await this.#recover(
      new NvmeError("RESET", {
        device: this.#device.name,
        problem: "the controller was reset, as it was asked for",
      }),
    );
    const { error } = this.#adminRequests;
    if (error !== undefined) throw error;
  }

  /** Shuts the controller down, and frees its queues. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#ended ??= this.#stop();
  }

  async #start(): Promise<void> {
    const { sizes: { entries }, commands, completions } = this.#adminPair;
    await this.#registers.start({ entries, commands, completions });
  }

  /** Stops the controller, ends all commands, and starts it again; once. */
  #recover(error: unknown): Promise<void> {
    // It failed again while its queues were made.
    if (this.#isStarting) this.#end(error);
    if (this.#recovery !== undefined) return this.#recovery;
    if (this.#ended !== undefined) return Promise.resolve();
    return this.#recovery = this.#restart(error)
      .catch((error) => this.#end(error))
      .finally(() => {
        this.#recovery = undefined;
        this.#isStarting = false;
      });
  }

  async #restart(error: unknown): Promise<void> {
    for (const { requests } of this.#watchdog.all) requests.pause();
    try {
      await this.#registers.stop();
    } catch (stuck) {
      if (!(stuck instanceof NvmeError)) throw stuck;
      // Ends its DMA for sure.
      this.#device.setBusMaster(false);
      await this.#device.reset();
      this.#device.setBusMaster(true);
    }
    for (const { requests } of this.#watchdog.all) requests.fail(error);
    this.#isStarting = true;
    this.#adminPair.begin();
    await this.#start();
    this.#adminRequests.resume();
    await this.#queues.restore();
  }

  /** Ends all commands, as the controller is gone or cannot be started. */
  #end(error: unknown): void {
    this.#stopDma();
    for (const { requests } of this.#watchdog.all) requests.end(error);
  }

  #stopDma(): void {
    try {
      if (this.#device.attached) this.#device.setBusMaster(false);
    } catch {
      // It is gone, and with it its DMA.
    }
  }

  async #stop(): Promise<void> {
    await using _ = this.#owned;
    await this.#recovery;
    this.#watchdog.stop();
    try {
      await this.#registers.shutDown();
    } catch {
      // It is stopped the hard way.
    }
    try {
      await this.#registers.stop();
    } catch {
      this.#stopDma();
    }
    this.#adminRequests.close();
    this.#queues.close();
  }
}
