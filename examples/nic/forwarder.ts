/**
 * Forwards packets between two cards, as a bridge does, and answers for itself.
 *
 * @module
 */
import type { NetworkCard } from "./card.ts";
import { LONGEST } from "./packets.ts";
import { answer, type Self } from "./replies.ts";
import { untilPacket } from "./waiting.ts";

/** The most packets that are taken at once. */
const BATCH = 64;
/** How often it looks in vain before it sleeps: about 50 µs. */
const LOOKS = 500;

/** What became of the packets. */
export interface Counts {
  /** Sent out of the other card. */
  forwarded: number;
  /** Answered. */
  answered: number;
  /** For the card itself, and no question; or without room to be sent. */
  dropped: number;
}

/**
 * Forwards. The cards share their packets and are promiscuous: a packet goes on
 * in the memory that it was received into.
 */
export class Forwarder {
  readonly #cards: readonly [NetworkCard, NetworkCard];
  /** Who it is on each card's side, where it answers. */
  readonly #selves: readonly [Self, Self] | undefined;
  readonly #received = new Int32Array(BATCH);
  readonly #through = new Int32Array(BATCH);
  readonly #back = new Int32Array(BATCH);
  /** What became of the packets. */
  readonly counts: Counts = { forwarded: 0, answered: 0, dropped: 0 };

  /**
   * @param cards The cards, with one pool.
   * @param ip The IP address for which it answers to ARP and ping, on both.
   */
  constructor(cards: readonly [NetworkCard, NetworkCard], ip?: Uint8Array) {
    this.#cards = cards;
    const self = ({ address: mac }: NetworkCard) => ({ mac, ip: ip! });
    this.#selves = ip && [self(cards[0]), self(cards[1])];
  }

  /**
   * Forwards what there is.
   *
   * @returns How many packets it took.
   */
  turn(): number {
    const [one, other] = this.#cards;
    return this.#from(one, other, this.#selves?.[0]) +
      this.#from(other, one, this.#selves?.[1]);
  }

  /**
   * Forwards until it is ended. It looks for packets all the time while they
   * come, and sleeps otherwise.
   *
   * @param signal Ends it.
   * @throws What {@linkcode untilPacket} throws, but not at the signal.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // The event loop goes on after some work, or none.
      for (let work = 0, looks = 0; looks < LOOKS && work < 4096; looks++) {
        const count = this.turn();
        if (count > 0) looks = 0;
        work += count;
      }
      try {
        await untilPacket(this.#cards, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #from(from: NetworkCard, to: NetworkCard, self?: Self): number {
    const received = this.#received;
    from.reclaim();
    const count = from.receive(received);
    if (count === 0) return 0;
    const { bytes, lengths } = from.pool;
    let through = 0;
    let back = 0;
    for (let i = 0; i < count; i++) {
      const packet = received[i]!;
      const frame = bytes[packet]!;
      const length = lengths[packet]!;
      // No card sends what is too long, which one may well have received.
      if (length > LONGEST) this.#drop(from, packet);
      else if (self !== undefined && answer(frame, length, self)) {
        this.#back[back++] = packet;
      } else if (isFor(frame, from.address)) this.#drop(from, packet);
      else this.#through[through++] = packet;
    }
    this.counts.forwarded += this.#send(to, this.#through, through);
    this.counts.answered += this.#send(from, this.#back, back);
    return count;
  }

  #send(card: NetworkCard, packets: Int32Array, count: number): number {
    if (count === 0) return 0;
    const sent = card.send(packets, count);
    for (let i = sent; i < count; i++) this.#drop(card, packets[i]!);
    return sent;
  }

  #drop(card: NetworkCard, packet: number): void {
    card.pool.give(packet);
    this.counts.dropped++;
  }
}

function isFor(frame: Uint8Array, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== mac[i]) return false;
  return true;
}
