import { ConfigSpace, type Identity } from "./config_space.ts";
import { Interrupts } from "../vfio/interrupts.ts";
import { IoEventFds } from "../vfio/io_eventfds.ts";
import type { Domain } from "../iommu/domain.ts";
import type { Piece } from "../iommu/io_map.ts";
import type { DeviceKind, DevicePort, DrivenModel } from "../models/model.ts";
import type { PhysicalMemory } from "../process/physical.ts";
import { readRegisters, writeRegisters } from "./peer.ts";
import { DmaLog } from "../vfio/features/dma_log.ts";
import { LowPower } from "../vfio/features/low_power.ts";
import { Migration } from "../vfio/features/migration.ts";
import {
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MEMORY,
} from "../../uapi/pci/regs.ts";

/** The device of a {@linkcode PciCore}. */
export interface Requester {
  /** Its group. DMA of a device without a group reaches nothing. */
  readonly group: {
    readonly kind: string;
    readonly domain: Domain | undefined;
  } | undefined;
  /** Its reset methods. */
  readonly resets: readonly string[];
  /** How many vectors the host has for it. Default: all. */
  readonly vectors?: number;
  /** Whether it is a virtual function. */
  readonly isVirtual?: boolean;
  /** The addresses of its BARs, by number. */
  readonly barAddresses: readonly (bigint | undefined)[];
  /**
   * Its machine. `since` returns whether the kernel is of a version or newer;
   * `physical` is what a device reaches that no IOMMU isolates.
   */
  readonly machine: {
    since(major: number, minor: number): boolean;
    readonly physical: PhysicalMemory;
  };
  /** Called for DMA to an IOVA that is not mapped. An IOMMU reports a fault. */
  blocked(iova: bigint): void;
}

/** The parts of a PCI function: config space, a model, interrupts. */
export class PciCore implements DevicePort {
  /** Its model. */
  readonly model: DrivenModel;
  /** Its config space. */
  readonly config: ConfigSpace;
  /** Its interrupts. */
  readonly interrupts: Interrupts;
  /** The writes that eventfds make. */
  readonly ioeventfds = new IoEventFds(() => this.config.memory);
  /** Whether a read or write can be one access of 8 bytes. */
  readonly hasWideAccess: boolean;
  /** Whether its user lets it sleep. */
  readonly lowPower = new LowPower();
  /** Its migration, if its driver has one. */
  readonly migration: Migration | undefined;
  /** The log of its DMA, if its driver has one. */
  readonly log: DmaLog | undefined;
  /** Whether it is being reset, so that accesses wait. */
  resetting = false;
  readonly #requester: Requester;
  readonly #dmaBufs = new Set<() => void>();

  /**
   * Makes a function in its state after power-on.
   *
   * @param requester The device.
   * @param kind Makes its model.
   * @param identity The ids of its header.
   */
  constructor(requester: Requester, kind: DeviceKind, identity: Identity) {
    this.#requester = requester;
    this.model = kind.create(this);
    const { msi, msix, intx } = this.model;
    const { machine } = requester;
    const { migration, log } = this.model;
    this.migration = migration && new Migration(migration);
    this.log = log && new DmaLog(log);
    this.hasWideAccess = machine.since(6, 11);
    this.interrupts = new Interrupts({
      msi,
      msix,
      intx,
      errors: identity.express || machine.since(6, 18),
      dynamic: machine.since(6, 5),
      available: requester.vectors ?? Infinity,
    });
    this.config = new ConfigSpace(identity, this.model, {
      flr: requester.resets.includes("flr"),
      pm: requester.resets.includes("pm"),
      alwaysDecoded: requester.isVirtual ?? false,
      onReset: () => this.reset(),
      onCommand: (command) => {
        this.interrupts.intx.disable((command & PCI_COMMAND_INTX_DISABLE) > 0);
        if ((command & PCI_COMMAND_MEMORY) === 0) this.revoke();
      },
    });
  }

  /** Whether the kernel is of a version or newer. */
  since(major: number, minor: number): boolean {
    return this.#requester.machine.since(major, minor);
  }

  /** Gives the function to user space. It is reset before, if it can be. */
  enable(): void {
    this.#resetIfAble();
    this.migration?.opened();
    this.config.enable(this.#requester.barAddresses);
  }

  /** Takes the function back from user space. */
  disable(): void {
    this.revoke();
    this.interrupts.clear();
    this.ioeventfds.clear();
    this.model.driver?.closed();
    this.migration?.closed();
    this.log?.stop();
    this.lowPower.exit();
    this.config.disable();
    this.#resetIfAble();
  }

  /** Throws at an access that would wait in the kernel. */
  assertNotResetting(): void {
    if (!this.resetting) return;
    throw new Error(
      "A real process would wait here until the reset of the function has ended",
    );
  }

  /** Whether other devices can reach its memory. */
  get reachable(): boolean {
    return this.config.memory && !this.lowPower.engaged && !this.resetting;
  }

  /** Calls a function when other devices are to reach its memory no more. */
  onRevoke(revoked: () => void): () => void {
    this.#dmaBufs.add(revoked);
    return () => this.#dmaBufs.delete(revoked);
  }

  /** Takes its memory from other devices. */
  revoke(): void {
    for (const revoked of this.#dmaBufs) revoked();
  }

  /** Resets the function. The kernel preserves its config space. */
  reset(): void {
    this.revoke();
    this.config.wake();
    this.model.reset();
    this.migration?.reset();
  }

  dmaRead(iova: bigint, into: Uint8Array): boolean {
    let at = 0;
    let complete = true;
    for (
      const { bytes, length, registers } of this.#translate(
        iova,
        into.length,
        "readable",
      )
    ) {
      const part = into.subarray(at, at + length);
      if (registers !== undefined) readRegisters(registers, part);
      else if (bytes === undefined) part.fill(0);
      else part.set(bytes);
      complete &&= bytes !== undefined;
      at += length;
    }
    return complete;
  }

  dmaWrite(iova: bigint, from: Uint8Array): boolean {
    this.log?.note(iova, from.length);
    let at = 0;
    let complete = true;
    for (
      const { bytes, length, registers } of this.#translate(
        iova,
        from.length,
        "writable",
      )
    ) {
      if (bytes !== undefined) {
        const part = from.subarray(at, at + length);
        if (registers !== undefined) writeRegisters(registers, part);
        else bytes.set(part);
        this.#requester.group?.domain?.wrote?.(
          iova + BigInt(at),
          length,
          this.#isTranslated,
        );
      }
      complete &&= bytes !== undefined;
      at += length;
    }
    return complete;
  }

  // MSI is a write to memory too, and a function can write only as bus master.
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

  /** Whether its DMA goes through the IOMMU, not through its driver. */
  get #isTranslated(): boolean {
    return this.#requester.group?.kind !== "emulated";
  }

  #resetIfAble(): void {
    if (this.#requester.resets.length > 0) this.reset();
  }

  /**
   * Splits a DMA access into pieces. It reaches nothing unless the function is
   * bus master.
   */
  *#translate(
    iova: bigint,
    length: number,
    direction: "readable" | "writable",
  ): Generator<Piece> {
    const { group, machine } = this.#requester;
    if (!this.config.master) return yield { iova, length, bytes: undefined };
    const translated = this.#isTranslated;
    const pieces = group?.kind === "noiommu"
      ? machine.physical.translate(iova, length)
      : group?.domain?.map.translate(iova, length, { direction, translated }) ??
        [{ iova, length, bytes: undefined }];
    for (const piece of pieces) {
      if (piece.bytes === undefined) this.#requester.blocked(piece.iova);
      yield piece;
    }
  }
}
