/** What is connected with a cable. */
export interface CableEnd {
  /** Called with each packet that another end sends. */
  receive(packet: Uint8Array): void;
}

/**
 * A cable between the ports of simulated network cards. Each end receives what
 * the others send.
 *
 * @example A test that sends packets to a card itself
 * ```ts
 * import { Cable, e1000e, simulate } from "@passthru/vfio/sim";
 *
 * const cable = new Cable();
 * const host = simulate({
 *   functions: { "0000:01:00.0": { model: e1000e({ cable }) } },
 * });
 * const end = { receive: (packet: Uint8Array) => console.log(packet.length) };
 * cable.connect(end);
 * cable.send(end, new Uint8Array(64));
 * console.log(host.functions().length); // => 1
 * ```
 */
export class Cable {
  readonly #ends = new Set<CableEnd>();

  /** Connects an end. */
  connect(end: CableEnd): void {
    this.#ends.add(end);
  }

  /** Sends a packet to the other ends. */
  send(from: CableEnd, packet: Uint8Array): void {
    for (const end of this.#ends) if (end !== from) end.receive(packet.slice());
  }
}
