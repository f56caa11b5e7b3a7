/**
 * Simulates SR-IOV (`drivers/pci/iov.c`).
 *
 * @module
 */

import { virtualLimit } from "../../host/pci/virtual/limits.ts";
import type { SriovRecording } from "../../host/snapshot/recording.ts";
import { ETH_P_8021Q } from "../../uapi/linux/rtnetlink.ts";
import type { Steps } from "../process/blocking.ts";
import type { Driver } from "../driver/bus.ts";
import { probe, remove } from "../driver/core.ts";
import type { Machine } from "../machine/machine.ts";
import { formatAddress, type RoutingId } from "./address.ts";
import { PciFunction, type PciFunctionOptions } from "./function.ts";
import { Refusal, refuse } from "../process/refusal.ts";
import { virtualBars } from "./resources.ts";

/** The SR-IOV capability of a physical function. */
export interface SriovCapability {
  /** How many virtual functions it can have. */
  readonly total: number;
  /** The distance from its own routing id to that of the first. */
  readonly offset: number;
  /** The distance from one's routing id to that of the next. */
  readonly stride: number;
  /** Their device id. */
  readonly device: number;
  /** The last bus that is behind the bridge above it. */
  readonly lastBus: number;
  /**
   * Whether its own device number is the only one that is reached on its bus, as
   * it is below a port and has no alternative routing ids.
   */
  readonly oneDevice: boolean;
}

/** A function that can have virtual functions. */
export class PhysicalFunction extends PciFunction {
  /** Its SR-IOV capability. */
  readonly capability: SriovCapability;
  /** Whether drivers may bind virtual functions by themselves. */
  autoprobe = true;
  readonly #make: (physical: PhysicalFunction, index: number) => PciFunction;
  readonly #functions = new Map<number, PciFunction>();

  /**
   * Makes a function without virtual functions.
   *
   * @param machine The machine it is in.
   * @param options Its properties.
   * @param capability Its SR-IOV capability.
   * @param make Makes a virtual function, in its group and without a driver.
   */
  constructor(
    machine: Machine,
    options: PciFunctionOptions,
    capability: SriovCapability,
    make: (physical: PhysicalFunction, index: number) => PciFunction,
  ) {
    super(machine, options);
    this.capability = capability;
    this.#make = make;
  }

  /** The present virtual functions, by number. */
  get functions(): ReadonlyMap<number, PciFunction> {
    return this.#functions;
  }

  /** Whether `fn` is one of its virtual functions and is not being removed. */
  has(fn: PciFunction): boolean {
    return [...this.#functions.values()].includes(fn);
  }

  override assertTakable(driver: Driver): void {
    if (driver.dma === "user" && this.#functions.size > 0) refuse("EBUSY");
    super.assertTakable(driver);
  }

  override *abandoned(driver?: Driver): Steps<void> {
    if (driver === undefined || driver.virtualFunctions === "removed") {
      yield* this.#removeAll();
    }
  }

  /** How many virtual functions it can have, which its driver may limit. */
  get total(): number {
    return Math.min(this.capability.total, virtualLimit(this.driver?.name));
  }

  /** Does what a write to `sriov_numvfs` does. */
  *configure(count: number): Steps<void> {
    if (count > this.total) refuse("ERANGE");
    yield* this.lock.hold(this.#configure(count));
  }

  *#configure(count: number): Steps<void> {
    const present = this.#functions.size;
    if (count === present) return;
    const { driver, machine: { features } } = this;
    const canConfigure = driver?.virtualFunctions !== undefined &&
      (driver.dma !== "user" || features.enableSriov);
    if (!canConfigure) refuse("ENOENT");
    if (count === 0) return yield* this.#removeAll();
    if (present > 0) refuse("EBUSY");
    // `sriov_enable()`: not enough MMIO resources
    if (virtualBars(this.resources).some((bar) => bar?.start === 0n)) {
      refuse("ENOMEM");
    }
    // bus out of range
    const { capability: { offset, stride, lastBus, oneDevice } } = this;
    const ids = Array.from(
      { length: count },
      (_, i) => this.routing.id + offset + stride * i,
    );
    if (ids.at(-1)! >> 8 > lastBus) refuse("ENOMEM");
    // `pci_setup_device()` in `drivers/pci/probe.c`: unknown header type 7f
    const { id: own } = this.routing;
    const isHidden = (id: number) =>
      id >> 8 === own >> 8 && id >> 3 !== own >> 3;
    if (oneDevice && ids.some(isHidden)) refuse("EIO");
    for (let i = 0; i < count; i++) yield* this.#add(driver);
  }

  /** Makes one more virtual function, and lets drivers probe it. */
  *#add(driver: Driver): Steps<void> {
    const fn = this.make();
    // `vfio_pci_bus_notifier()` in `drivers/vfio/pci/vfio_pci_core.c`
    if (driver.dma === "user") fn.override = driver.name;
    try {
      yield* probe(this.machine, fn);
    } catch (error) {
      // The virtual function stays without a driver.
      if (!(error instanceof Refusal)) throw error;
    }
  }

  /** Makes one more virtual function, without letting drivers probe it. */
  make(): PciFunction {
    const number = this.#functions.size;
    const fn = this.#make(this, number);
    this.#functions.set(number, fn);
    return fn;
  }

  /** Removes all virtual functions. Each is removed once no process uses it. */
  *#removeAll(): Steps<void> {
    for (const [number, fn] of [...this.#functions]) {
      this.#functions.delete(number);
      yield* remove(this.machine, fn);
    }
  }
}

/** The settings of a virtual function that a network card's driver has. */
export interface VirtualNetworkSettings {
  /** Its MAC address, 6 bytes; zeros for none. */
  address: Uint8Array;
  /** Its VLAN; 0 for none. */
  vlan: number;
  /** The priority in its VLAN. */
  qos: number;
  /** The protocol of its VLAN. */
  readonly protocol: number;
}

/** A virtual function. */
export class VirtualFunction extends PciFunction {
  /** Its physical function. */
  readonly physical: PhysicalFunction;
  /** Its settings, made through the physical function's network interface. */
  readonly settings: VirtualNetworkSettings = {
    address: new Uint8Array(6),
    vlan: 0,
    qos: 0,
    protocol: ETH_P_8021Q,
  };

  /**
   * Makes a virtual function without a driver.
   *
   * @param physical Its physical function.
   * @param options Its properties.
   */
  constructor(physical: PhysicalFunction, options: PciFunctionOptions) {
    super(physical.machine, options);
    this.physical = physical;
    // A virtual function has no power management capability: `pci_pm_init()`.
    this.d3cold = false;
  }

  override get isVirtual(): boolean {
    return true;
  }

  override assertTakable(driver: Driver): void {
    // `pci_device_can_probe()` in `drivers/pci/pci-driver.c`
    if (!this.physical.autoprobe && this.override === undefined) {
      refuse("ENODEV");
    }
    super.assertTakable(driver);
  }
}

/**
 * Returns where virtual functions are. The defaults are those of Intel's 82576,
 * whose virtual functions are in slot 10.
 */
export function spacingOf(
  { offset = 128, stride = 2 }: SriovRecording,
): Pick<SriovCapability, "offset" | "stride"> {
  return { offset, stride };
}

/** Computes the address of a virtual function. */
export function virtualAddress(
  physical: RoutingId,
  { offset, stride }: Pick<SriovCapability, "offset" | "stride">,
  index: number,
): string {
  const id = physical.id + offset + stride * index;
  return formatAddress({ domain: physical.domain, id });
}
