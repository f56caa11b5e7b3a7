/**
 * A userspace driver for Intel's 82574, which QEMU emulates as `e1000e`: it
 * receives and sends packets, by polling or by interrupt.
 *
 * @module
 */
import type { IrqVector, VfioDevice } from "../../mod.ts";
import { NicError } from "./error.ts";
import type { PacketPool } from "./packets.ts";
import { CardRegisters, type Filter, type Link } from "./registers.ts";
import { ReceiveRing, TransmitRing } from "./rings.ts";

/** `vendor:device` of what the driver knows. */
const KNOWN = "8086:10d3";
/** Slots of each ring. */
const ENTRIES = 256;

/** How a card is started. */
export interface CardOptions extends Filter {
  /**
   * Slots of the receive ring, and of the transmit ring: a multiple of 8, up to
   * 4096.
   *
   * @default {256}
   */
  readonly entries?: number;
  /**
   * Whether it has an interrupt, for those who wait. Otherwise they look now
   * and then.
   *
   * @default {false}
   */
  readonly interrupt?: boolean;
}

/** A running card. Disposing of it stops it. */
export class NetworkCard implements AsyncDisposable {
  readonly #device: VfioDevice;
  readonly #registers: CardRegisters;
  readonly #received: ReceiveRing;
  readonly #sent: TransmitRing;
  readonly #owned: AsyncDisposableStack;
  #isClosed = false;
  /** Its interrupt, where it has one. */
  readonly vector: IrqVector | undefined;
  /** Its packets. */
  readonly pool: PacketPool;
  /** Its MAC address. */
  readonly address: Uint8Array;

  private constructor(
    device: VfioDevice,
    registers: CardRegisters,
    pool: PacketPool,
    [received, sent]: readonly [ReceiveRing, TransmitRing],
    vector: IrqVector | undefined,
    owned: AsyncDisposableStack,
  ) {
    this.#device = device;
    this.#registers = registers;
    this.#received = received;
    this.#sent = sent;
    this.#owned = owned;
    this.pool = pool;
    this.vector = vector;
    this.address = registers.readAddress();
  }

  /**
   * Resets a card, and starts it with its rings in DMA memory.
   *
   * @param device The card, attached.
   * @param pool Packets in its address space. Its receive ring takes some.
   * @param options Its rings, its interrupt, and what it receives.
   * @throws {NicError} `UNSUPPORTED` if it is another kind of card.
   * @throws {RangeError} If the rings cannot have so many slots.
   * @throws {VfioError} `DEVICE_LOST`, `TIMED_OUT` and others.
   */
  static async start(
    device: VfioDevice,
    pool: PacketPool,
    options: CardOptions = {},
  ): Promise<NetworkCard> {
    const { entries = ENTRIES, interrupt = false } = options;
    const { name, space } = device;
    assertKnown(device);
    if (!(entries >= 8 && entries <= 4096 && entries % 8 === 0)) {
      throw new RangeError(
        `Cannot make rings of ${entries} slots: expected a multiple of 8 up ` +
          "to 4096",
      );
    }
    await using stack = new AsyncDisposableStack();
    const bar = stack.use(device.region(0).map());
    const registers = new CardRegisters(device, bar);
    await registers.reset();
    let vector: IrqVector | undefined;
    if (interrupt) {
      const msix = device.irq("msix");
      [vector] = await msix.enable(1);
      stack.defer(async () => {
        if (device.attached) await msix.disable();
      });
      registers.setVectors();
    }
    const parts = { name, space, registers, pool, entries };
    const received = new ReceiveRing(parts);
    stack.defer(() => received.free());
    const sent = new TransmitRing(parts);
    stack.defer(() => sent.free());
    stack.defer(() => stopDma(device));
    device.setBusMaster(true);
    registers.enable();
    registers.setFilter(options);
    received.begin();
    const rings = [received, sent] as const;
    return new NetworkCard(
      ...[device, registers, pool, rings, vector, stack.move()] as const,
    );
  }

  /** The card's address on its bus. */
  get name(): string {
    return this.#device.name;
  }

  /** What its port is connected with. */
  get link(): Link {
    this.#assertRunning();
    return this.#registers.readLink();
  }

  /** How many received packets were damaged. They were dropped. */
  get damaged(): number {
    return this.#received.damaged;
  }

  /**
   * Waits until its port is connected. It sends and receives nothing before.
   *
   * @param timeout For how long, in milliseconds.
   * @throws {VfioError} `TIMED_OUT`, `DEVICE_LOST`.
   */
  async untilLinkUp(timeout = 10_000): Promise<void> {
    this.#assertRunning();
    await this.#registers.untilLinkUp(timeout);
  }

  /**
   * Says which packets it receives.
   *
   * @param filter Which ones.
   * @throws {RangeError} If there are more than 15 addresses.
   */
  setFilter(filter: Filter): void {
    this.#assertRunning();
    this.#registers.setFilter(filter);
  }

  /** Whether a packet is there. */
  get hasPacket(): boolean {
    return !this.#isClosed && this.#received.hasPacket;
  }

  /** As {@linkcode ReceiveRing.receive}. */
  receive(into: Int32Array): number {
    return this.#isClosed ? 0 : this.#received.receive(into);
  }

  /** As {@linkcode TransmitRing.send}. */
  send(packets: Int32Array, count: number): number {
    return this.#isClosed ? 0 : this.#sent.send(packets, count);
  }

  /** As {@linkcode TransmitRing.reclaim}, which `send` does, too. */
  reclaim(): void {
    if (!this.#isClosed) this.#sent.reclaim();
  }

  /**
   * Checks that the card is there. Who polls for a packet does so now and then:
   * a card that is gone leaves the rings as they are.
   *
   * @throws {NicError} `CLOSED`.
   * @throws {VfioError} `DEVICE_LOST`, `DETACHED`.
   */
  check(): void {
    this.#assertRunning();
    this.#registers.check();
  }

  /**
   * Has the card interrupt once, at the next packet: look again afterwards, as
   * one may have come just before. Without an interrupt it does nothing.
   */
  arm(): void {
    this.#assertRunning();
    if (this.vector !== undefined) this.#registers.arm();
  }

  /** Stops it. Its packets are given back to the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#registers.silence();
    } catch {
      // It is detached: its DMA is over.
    }
    await this.#owned.disposeAsync();
  }

  #assertRunning(): void {
    if (!this.#isClosed) return;
    throw new NicError("CLOSED", this.#device.name, "the card was stopped");
  }
}

function assertKnown(device: VfioDevice): void {
  const ids = device.config.read32(0);
  const id = [ids & 0xffff, ids >>> 16]
    .map((half) => half.toString(16).padStart(4, "0")).join(":");
  if (id === KNOWN) return;
  throw new NicError(
    "UNSUPPORTED",
    device.name,
    `it is ${id}, and the driver knows ${KNOWN} only`,
  );
}

function stopDma(device: VfioDevice): void {
  try {
    if (device.attached) device.setBusMaster(false);
  } catch {
    // It is gone, and with it its DMA.
  }
}
