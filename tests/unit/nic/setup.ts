/**
 * Simulated network cards on a cable, with the driver of `examples/nic/`.
 *
 * @module
 */
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { type CardOptions, NetworkCard } from "../../../examples/nic/card.ts";
import { PacketPool } from "../../../examples/nic/packets.ts";
import {
  Cable,
  type CableEnd,
  e1000e,
  type E1000eFaults,
  simulate,
} from "../../../lib/sim/mod.ts";

/** The cards' addresses. */
export const ADDRESSES = ["0000:01:00.0", "0000:02:00.0"] as const;
/** Their MAC addresses. */
export const MACS = [mac(1), mac(2)] as const;
/** How many packets they share. */
export const PACKETS = 256;

/** The MAC address 52:54:00:00:00:xx. */
export function mac(last: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(0x52, 0x54, 0, 0, 0, last);
}

/** The other end of a cable, which keeps what it receives. */
export class Peer implements CableEnd {
  readonly #cable: Cable;
  readonly packets: Uint8Array[] = [];

  constructor(cable: Cable) {
    this.#cable = cable;
    cable.connect(this);
  }

  receive(packet: Uint8Array): void {
    this.packets.push(packet);
  }

  send(packet: Uint8Array): void {
    this.#cable.send(this, packet);
  }
}

/** Two attached cards, each with a peer at the other end of its cable. */
export class NicSetup implements AsyncDisposable {
  readonly #owned: AsyncDisposableStack;
  readonly devices: readonly [VfioDevice, VfioDevice];
  readonly peers: readonly [Peer, Peer];
  readonly pool: PacketPool;
  /** The DMA that the IOMMU has blocked. */
  readonly blocked: readonly unknown[];

  private constructor(
    owned: AsyncDisposableStack,
    devices: readonly [VfioDevice, VfioDevice],
    peers: readonly [Peer, Peer],
    pool: PacketPool,
    blocked: readonly unknown[],
  ) {
    this.#owned = owned;
    this.devices = devices;
    this.peers = peers;
    this.pool = pool;
    this.blocked = blocked;
  }

  /** Attaches the cards, of which the first may do something wrong. */
  static async attach(faults: E1000eFaults = {}): Promise<NicSetup> {
    await using owned = new AsyncDisposableStack();
    const cables = [new Cable(), new Cable()] as const;
    const functions = Object.fromEntries(ADDRESSES.map((address, i) => [
      address,
      {
        model: e1000e({
          cable: cables[i]!,
          address: MACS[i]!,
          ...i === 0 && { faults },
        }),
      },
    ]));
    const host = simulate({ functions });
    const space = owned.use(new AddressSpace({ host }));
    const pool = owned.use(new PacketPool(space, PACKETS));
    const attach = async (address: string) => {
      const taken = owned.use(await host.take(address));
      return owned.use(await VfioDevice.attach(taken.device, space));
    };
    const devices = [
      await attach(ADDRESSES[0]),
      await attach(ADDRESSES[1]),
    ] as const;
    const peers = [new Peer(cables[0]), new Peer(cables[1])] as const;
    const { faults: blocked } = host.machine;
    return new NicSetup(owned.move(), devices, peers, pool, blocked);
  }

  /** Starts a card, which is stopped before its device is detached. */
  async start(index: 0 | 1, options: CardOptions = {}): Promise<NetworkCard> {
    return this.#owned.use(
      await NetworkCard.start(this.devices[index], this.pool, {
        entries: 32,
        ...options,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** A packet of a length: from and to whom, and bytes that count on. */
export function packet(
  to: Uint8Array,
  from: Uint8Array,
  length = 64,
): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from({ length }, (_, i) => i);
  bytes.set(to);
  bytes.set(from, 6);
  bytes.set([0x88, 0xb5], 12);
  return bytes;
}

/** A ping from 10.0.0.2 to 10.0.0.1, with right checksums. */
export const PING = Uint8Array.fromHex(
  "5254000000015254000000090800" +
    "45000024abcd40000101ba090a0000020a000001" +
    "0800e7e3000700010102030405060708",
);
