import { ConfigSpace, type Identity } from "./config_space.ts";
import { Interrupts } from "../vfio/interrupts.ts";
import type { IoMap, Piece } from "../iommu/io_map.ts";
import type { DeviceKind, DeviceModel, DevicePort } from "../models/model.ts";
import { PCI_COMMAND_INTX_DISABLE } from "../../uapi/pci/regs.ts";

/** A device, as what makes it a PCI function sees it. */
export interface Requester {
  /**
   * Its group. A device without one, or with one that no IOMMU isolates,
   * reaches nothing that is simulated: where memory lies is not.
   */
  readonly group: {
    readonly kind: string;
    readonly domain: { readonly map: IoMap } | undefined;
  } | undefined;
  /** How the kernel can reset it. */
  readonly resets: readonly string[];
  /** Where its BARs lie, by number. */
  readonly barAddresses: readonly (bigint | undefined)[];
  /** Its machine, whose kernel may be of this version or newer. */
  readonly machine: { since(major: number, minor: number): boolean };
  /** DMA of it met nothing: the IOMMU stopped it, where there is one. */
  blocked(iova: bigint): void;
}

/** What makes a device a PCI function: config space, a model, interrupts. */
export class PciCore implements DevicePort {
  /** What it does. */
  readonly model: DeviceModel;
  /** Its config space. */
  readonly config: ConfigSpace;
  /** Its interrupts. */
  readonly interrupts: Interrupts;
  /** Whether a read or a write can be one access of 8 bytes. */
  readonly hasWideAccess: boolean;
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
    const { msi, msix, intx } = this.model;
    const { machine } = requester;
    this.hasWideAccess = machine.since(6, 11);
    this.interrupts = new Interrupts({
      msi,
      msix,
      intx,
      errors: identity.express || machine.since(6, 18),
      dynamic: machine.since(6, 5),
    });
    this.config = new ConfigSpace(identity, this.model, {
      resets: requester.resets.includes("flr"),
      commanded: (command) =>
        this.interrupts.intx.disable((command & PCI_COMMAND_INTX_DISABLE) > 0),
    });
  }

  /** Hands the function to user space, reset where there is a way to. */
  enable(): void {
    this.#resetIfAble();
    this.config.enable(this.#requester.barAddresses);
  }

  /** Takes the function back. */
  disable(): void {
    this.interrupts.clear();
    this.config.disable();
    this.#resetIfAble();
  }

  /** Resets the function; the kernel restores its config space. */
  reset(): void {
    this.model.reset();
  }

  dmaRead(iova: bigint, into: Uint8Array): boolean {
    let at = 0;
    let complete = true;
    for (
      const { bytes, length } of this.#reach(iova, into.length, "readable")
    ) {
      const part = into.subarray(at, at + length);
      if (bytes === undefined) part.fill(0);
      else part.set(bytes);
      complete &&= bytes !== undefined;
      at += length;
    }
    return complete;
  }

  dmaWrite(iova: bigint, from: Uint8Array): boolean {
    let at = 0;
    let complete = true;
    for (
      const { bytes, length } of this.#reach(iova, from.length, "writable")
    ) {
      bytes?.set(from.subarray(at, at + length));
      complete &&= bytes !== undefined;
      at += length;
    }
    return complete;
  }

  // MSI is a write too, which a function makes as bus master or not at all.
  interrupt(vector: number): void {
    if (this.config.master) this.interrupts.fire(vector);
  }

  line(asserted: boolean): void {
    this.config.interrupt(asserted);
    this.interrupts.intx.drive(asserted);
  }

  get sendsMessages(): boolean {
    return this.interrupts.sendsMessages;
  }

  #resetIfAble(): void {
    if (this.#requester.resets.length > 0) this.model.reset();
  }

  /** What an access meets; without the right to make one, nothing. */
  *#reach(
    iova: bigint,
    length: number,
    direction: "readable" | "writable",
  ): Generator<Piece> {
    const { group } = this.#requester;
    if (!this.config.master) return yield { iova, length, bytes: undefined };
    const translated = group?.kind !== "emulated";
    const domain = group?.kind === "noiommu" ? undefined : group?.domain;
    const pieces =
      domain?.map.translate(iova, length, { direction, translated }) ??
        [{ iova, length, bytes: undefined }];
    for (const piece of pieces) {
      if (piece.bytes === undefined) this.#requester.blocked(piece.iova);
      yield piece;
    }
  }
}
