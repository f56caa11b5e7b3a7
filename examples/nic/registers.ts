/**
 * The registers of Intel's 82574, which QEMU's `e1000e` is (Intel 82574
 * datasheet 3.4, chapter 10; `drivers/net/ethernet/intel/e1000e` of Linux).
 *
 * @module
 */
import type { Registers, VfioDevice } from "../../mod.ts";
import { deviceLost } from "./error.ts";

// In BAR 0
const CTRL = 0x0000;
const STATUS = 0x0008;
const CTRL_EXT = 0x0018;
const ICR = 0x00c0;
const IMS = 0x00d0;
const IMC = 0x00d8;
const EIAC = 0x00dc;
const IVAR = 0x00e4;
const RCTL = 0x0100;
const TCTL = 0x0400;
const TIPG = 0x0410;
/** The receive ring's registers, and the transmit ring's. */
export const RECEIVE = 0x2800;
export const TRANSMIT = 0x3800;
const BASE_LOW = 0x00;
const BASE_HIGH = 0x04;
const LENGTH = 0x08;
const HEAD = 0x10;
/** A ring's doorbell, from its first register. */
export const TAIL = 0x18;
const DESCRIPTOR_CONTROL = 0x28;
const MULTICAST_TABLE = 0x5200;
const MULTICAST_WORDS = 128;
const ADDRESS_LOW = 0x5400;
const ADDRESS_HIGH = 0x5404;

/** How many MAC addresses a card compares with. */
export const ADDRESSES = 16;
const ADDRESS_VALID = 0x8000_0000;

const CTRL_MASTER_DISABLE = 1 << 2;
const CTRL_AUTO_SPEED = 1 << 5;
const CTRL_LINK_UP = 1 << 6;
const CTRL_RESET = 1 << 26;
const STATUS_FULL_DUPLEX = 1 << 0;
const STATUS_LINK = 1 << 1;
const STATUS_SPEED = 6;
const STATUS_MASTER_ENABLED = 1 << 19;
const PENDING_BITS_CLEARED = 0x8000_0000;
const RCTL_ENABLE = 1 << 1;
const RCTL_ALL_UNICAST = 1 << 3;
const RCTL_ALL_MULTICAST = 1 << 4;
const RCTL_BROADCAST = 1 << 15;
/** The checksum of a frame is not part of what is received. */
const RCTL_STRIP_CHECKSUM = 1 << 26;
const TCTL_ENABLE = 1 << 1;
const TCTL_PAD = 1 << 3;
/** Collisions: 15 times, within 63 bytes. */
const TCTL_COLLISIONS = 15 << 4 | 63 << 12;
/** The gaps between frames on copper. */
const GAPS = 6 << 20 | 8 << 10 | 8;
/** Each descriptor is written back at once; bit 22 is to be set. */
const WRITE_BACK = 1 << 24 | 1 << 22 | 1 << 16;

const CAUSE_LINK = 1 << 2;
const CAUSE_RECEIVED = 1 << 20;
const CAUSE_OTHER = 1 << 24;
const CAUSES = CAUSE_LINK | CAUSE_RECEIVED | CAUSE_OTHER;
/** The receive queue and the other causes have vector 0. */
const VECTORS = 8 << 16 | 8;

const ALL_ONES = 0xffff_ffff;
/** How long a reset takes at least, in milliseconds. */
const RESET_TIME = 10;

/** What a card's port is connected with. */
export interface Link {
  /** Whether it is connected. */
  readonly up: boolean;
  /** Megabits a second. */
  readonly speed: 10 | 100 | 1000;
  /** Whether both sides can send at once. */
  readonly fullDuplex: boolean;
}

/** Which packets a card receives, beside those for its own address. */
export interface Filter {
  /**
   * Whether it receives everything.
   *
   * @default {false}
   */
  readonly promiscuous?: boolean;
  /**
   * Whether it receives what is for groups.
   *
   * @default {false}
   */
  readonly multicast?: boolean;
  /**
   * Further addresses, of 6 bytes each: 15 at most.
   *
   * @default {[]}
   */
  readonly addresses?: readonly Uint8Array[];
}

/** A card's registers. */
export class CardRegisters {
  readonly #device: VfioDevice;
  /** BAR 0, for the doorbells. */
  readonly bar: Registers;

  /**
   * @param device The card.
   * @param bar Its BAR 0.
   */
  constructor(device: VfioDevice, bar: Registers) {
    this.#device = device;
    this.bar = bar;
  }

  /**
   * Resets the card. It is without interrupts, rings and a link afterwards, and
   * has its own address again.
   *
   * @throws {VfioError} `DEVICE_LOST`; `TIMED_OUT` if it does not become ready.
   */
  async reset(): Promise<void> {
    this.check();
    this.silence();
    this.bar.write32(CTRL, CTRL_MASTER_DISABLE);
    await this.bar.until32(STATUS, STATUS_MASTER_ENABLED, 0);
    this.bar.write32(CTRL, CTRL_RESET);
    await new Promise((resolve) => setTimeout(resolve, RESET_TIME));
    await this.bar.until32(CTRL, CTRL_RESET, 0);
    this.silence();
    this.bar.read32(ICR);
  }

  /** Ends its interrupts, and what it receives and sends. */
  silence(): void {
    this.bar.write32(IMC, ALL_ONES);
    this.bar.write32(RCTL, 0);
    this.bar.write32(TCTL, TCTL_PAD);
  }

  /**
   * Checks that the card is there.
   *
   * @throws {VfioError} `DEVICE_LOST`, `DETACHED`.
   */
  check(): void {
    if (this.bar.read32(STATUS) === ALL_ONES) {
      throw deviceLost(this.#device.name);
    }
  }

  /** Its own MAC address. */
  readAddress(): Uint8Array {
    const low = this.bar.read32(ADDRESS_LOW);
    const high = this.bar.read32(ADDRESS_HIGH);
    return Uint8Array.from(
      [low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8],
    );
  }

  /**
   * Says where a ring is. It is empty.
   *
   * @param ring {@linkcode RECEIVE} or {@linkcode TRANSMIT}.
   * @param iova Where it begins.
   * @param bytes Its length, a multiple of 128.
   */
  setRing(ring: number, iova: bigint, bytes: number): void {
    this.bar.write32(ring + BASE_LOW, Number(iova & 0xffff_ffffn));
    this.bar.write32(ring + BASE_HIGH, Number(iova >> 32n));
    this.bar.write32(ring + LENGTH, bytes);
    this.bar.write32(ring + HEAD, 0);
    this.bar.write32(ring + TAIL, 0);
    this.bar.write32(ring + DESCRIPTOR_CONTROL, WRITE_BACK);
  }

  /** Has it receive and send, as soon as its link is up. */
  enable(): void {
    this.bar.write32(TIPG, GAPS);
    this.bar.write32(TCTL, TCTL_ENABLE | TCTL_PAD | TCTL_COLLISIONS);
    this.bar.write32(CTRL, CTRL_LINK_UP | CTRL_AUTO_SPEED);
    this.bar.write32(
      RCTL,
      RCTL_ENABLE | RCTL_BROADCAST | RCTL_STRIP_CHECKSUM,
    );
  }

  /**
   * Says which packets it receives.
   *
   * @param filter Which ones.
   * @throws {RangeError} If there are too many addresses.
   */
  setFilter({ promiscuous, multicast, addresses = [] }: Filter): void {
    if (addresses.length >= ADDRESSES) {
      throw new RangeError(
        `Cannot receive packets for ${addresses.length} addresses: expected ` +
          `at most ${ADDRESSES - 1}`,
      );
    }
    // Number 0 is its own.
    for (let i = 1; i < ADDRESSES; i++) {
      const address = addresses[i - 1];
      const half = (at: number, bytes: number) =>
        address!.subarray(at, at + bytes)
          .reduceRight((value, byte) => value * 256 + byte, 0);
      // It is not valid while it changes.
      this.bar.write32(ADDRESS_HIGH + 8 * i, 0);
      this.bar.write32(ADDRESS_LOW + 8 * i, address ? half(0, 4) : 0);
      if (address === undefined) continue;
      this.bar.write32(ADDRESS_HIGH + 8 * i, half(4, 2) + ADDRESS_VALID);
    }
    for (let i = 0; i < MULTICAST_WORDS; i++) {
      this.bar.write32(MULTICAST_TABLE + 4 * i, 0);
    }
    const kept = this.bar.read32(RCTL) &
      ~(RCTL_ALL_UNICAST | RCTL_ALL_MULTICAST);
    const all = promiscuous ? RCTL_ALL_UNICAST : 0;
    const groups = promiscuous || multicast ? RCTL_ALL_MULTICAST : 0;
    this.bar.write32(RCTL, (kept | all | groups) >>> 0);
  }

  /** What its port is connected with. */
  readLink(): Link {
    const status = this.bar.read32(STATUS);
    if (status === ALL_ONES) throw deviceLost(this.#device.name);
    return {
      up: (status & STATUS_LINK) !== 0,
      speed: ([10, 100, 1000, 1000] as const)[status >>> STATUS_SPEED & 3]!,
      fullDuplex: (status & STATUS_FULL_DUPLEX) !== 0,
    };
  }

  /**
   * Waits until its port is connected.
   *
   * @param timeout For how long, in milliseconds.
   * @throws {VfioError} `TIMED_OUT`, `DEVICE_LOST`.
   */
  async untilLinkUp(timeout: number): Promise<void> {
    await this.bar.until32(STATUS, STATUS_LINK, STATUS_LINK, { timeout });
  }

  /** Gives its causes of interrupts vector 0 of MSI-X. None is armed. */
  setVectors(): void {
    const kept = this.bar.read32(CTRL_EXT);
    this.bar.write32(CTRL_EXT, (kept | PENDING_BITS_CLEARED) >>> 0);
    this.bar.write32(IVAR, VECTORS);
    // An interrupt disarms what has caused it.
    this.bar.write32(EIAC, CAUSE_RECEIVED | CAUSE_OTHER);
  }

  /** Has it interrupt once, at the next packet or change of the link. */
  arm(): void {
    this.bar.write32(IMS, CAUSES);
  }
}
