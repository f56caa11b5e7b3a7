/**
 * Simulates mediated devices: parts of a device that its driver makes
 * (`drivers/vfio/mdev/`).
 *
 * @module
 */

import { attach, remove } from "./core.ts";
import type { Steps } from "../process/blocking.ts";
import { Device, type Driver } from "./bus.ts";
import type { Identity } from "../pci/config_space.ts";
import { unsigned } from "../sysfs/input.ts";
import type { Machine } from "../machine/machine.ts";
import type { DeviceKind } from "../models/model.ts";
import { PciCore } from "../pci/core.ts";
import { refuse } from "../process/refusal.ts";
import { register } from "../vfio/core.ts";

/** A UUID, and optionally one more byte, which is ignored. */
const CREATE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}).?$/is;

/** The types of mediated devices, by their parent's path and by name. */
export type MediatedTypes = ReadonlyMap<
  string,
  ReadonlyMap<string, MediatedType>
>;

/** A kind of mediated device that a parent can make. */
export class MediatedType {
  /** Its name in sysfs, such as `"i915-GVTg_V5_4"`. */
  readonly name: string;
  /** The path of the device that makes them. */
  readonly parent: string;
  /** The driver of the devices. */
  readonly driver: Driver;
  /** How many can be made. */
  readonly instances: number;
  /** The devices, by UUID. */
  readonly devices = new Map<string, MediatedDevice>();
  readonly #machine: Machine;
  readonly #kind: DeviceKind;

  /**
   * Makes a type without devices.
   *
   * @param machine The machine it is on.
   * @param options Its properties.
   */
  constructor(
    machine: Machine,
    options: {
      readonly name: string;
      readonly parent: string;
      readonly driver: Driver;
      readonly instances: number;
      readonly kind: DeviceKind;
    },
  ) {
    this.#machine = machine;
    this.name = options.name;
    this.parent = options.parent;
    this.driver = options.driver;
    this.instances = options.instances;
    this.#kind = options.kind;
  }

  /** How many more can be made. */
  get available(): number {
    return this.instances - this.devices.size;
  }

  /** Does what a write to `create` does. */
  *create(text: string): Steps<void> {
    const uuid = CREATE.exec(text)?.[1]?.toLowerCase() ?? refuse("EINVAL");
    const { devices } = this.#machine;
    if (devices.on("mdev").has(uuid)) refuse("EEXIST");
    if (this.available === 0) refuse("EUSERS");
    const device = new MediatedDevice(this.#machine, this, uuid, this.#kind);
    devices.add(device);
    this.devices.set(uuid, device);
    this.#machine.announce("add", device.path);
    yield* attach(device, this.driver);
  }
}

/** A mediated device. */
export class MediatedDevice extends Device {
  /** Its type. */
  readonly type: MediatedType;
  /** The machine it is on. */
  readonly machine: Machine;
  /** Its BARs have no addresses. */
  readonly barAddresses = [];
  readonly #kind: DeviceKind;

  /**
   * Made by {@linkcode MediatedType.create}.
   *
   * @param machine The machine it is on.
   * @param type Its type.
   * @param uuid Its name.
   * @param kind Its behaviour.
   */
  constructor(
    machine: Machine,
    type: MediatedType,
    uuid: string,
    kind: DeviceKind,
  ) {
    super(
      uuid,
      "mdev",
      `${type.parent}/${uuid}`,
      [],
    );
    this.type = type;
    this.machine = machine;
    this.#kind = kind;
  }

  /** Does nothing: the IOMMU does not see its DMA. */
  blocked(): void {}

  protected override createCore(): PciCore {
    return new PciCore(this, this.#kind, identityOf(this.#kind));
  }

  /**
   * Returns false: no driver binds a mediated device by itself or on request.
   */
  override matches(_driver: Driver): boolean {
    return false;
  }

  override assertTakable(_driver: Driver): void {
    register(this.machine, this, "emulated");
  }

  /** Does what a write to `remove` does. */
  *remove(text: string): Steps<void> {
    if (unsigned(text) === 0) return;
    this.type.devices.delete(this.name);
    yield* remove(this.machine, this);
  }
}

function identityOf(kind: DeviceKind): Identity {
  const [vendor = 0, device = 0] = kind.id.split(":")
    .map((digits) => parseInt(digits, 16));
  return {
    vendor,
    device,
    subsystemVendor: vendor,
    subsystem: 0,
    class: kind.class,
    revision: 0,
    express: false,
    port: { isBridge: false, type: undefined, acs: false },
  };
}
