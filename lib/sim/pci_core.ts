import { ConfigSpace, type Identity } from "./config_space.ts";
import { Interrupts } from "./interrupts.ts";
import type { IoMap } from "./io_map.ts";
import type { DeviceKind, DeviceModel, DevicePort } from "./models/model.ts";

/** Whose requests are translated: a device, by its group's domain. */
export interface Requester {
  /** The group; a device without one reaches nothing that is simulated. */
  readonly group: { readonly domain: IoMap | undefined } | undefined;
}

/** What makes a device a PCI function: config space, a model, interrupts. */
export class PciCore implements DevicePort {
  /** What it does. */
  readonly model: DeviceModel;
  /** Its config space. */
  readonly config: ConfigSpace;
  /** Its interrupts. */
  readonly interrupts: Interrupts;
  readonly #requester: Requester;

  /**
   * A function after power-on.
   *
   * @param requester The device.
   * @param kind What it does.
   * @param identity What its header says it is.
   */
  constructor(requester: Requester, kind: DeviceKind, identity: Identity) {
    this.#requester = requester;
    this.model = kind.create(this);
    this.config = new ConfigSpace(identity, this.model);
    this.interrupts = new Interrupts(this.model, identity.express);
  }

  /** Resets the function. */
  reset(): void {
    this.model.reset();
    this.config.reset();
  }

  dmaRead(iova: bigint, length: number): Uint8Array | undefined {
    const pieces = this.#translate(iova, length, "readable");
    if (pieces === undefined) return undefined;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  dmaWrite(iova: bigint, bytes: Uint8Array): boolean {
    const pieces = this.#translate(iova, bytes.length, "writable");
    if (pieces === undefined) return false;
    let at = 0;
    for (const piece of pieces) {
      piece.set(bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
    return true;
  }

  // MSI is a write too, which a function makes as bus master or not at all.
  interrupt(vector: number): void {
    if (this.config.master) this.interrupts.fire(vector);
  }

  line(asserted: boolean): void {
    this.interrupts.drive(asserted);
  }

  #translate(
    iova: bigint,
    length: number,
    access: "readable" | "writable",
  ): Uint8Array[] | undefined {
    if (!this.config.master) return undefined;
    return this.#requester.group?.domain?.translate(iova, length, access);
  }
}
