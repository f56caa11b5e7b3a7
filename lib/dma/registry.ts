/**
 * The devices of this process that are attached, or on the way, and the IOMMU
 * groups that they are in: one registry for all address spaces of a system.
 *
 * The kernel does not say it: iommufd replaces an attachment silently, and a
 * group opened by this process looks like one opened by another. A hot reset
 * spans address spaces, and needs to know all devices of this process.
 *
 * @module
 */

import type { Ownership } from "../../backends/backend.ts";
import { VfioError } from "../errors.ts";
import type { HostDevice, IommuGroup } from "../host/device.ts";
import { systemOf } from "../kernel/intercept.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Member } from "./members.ts";

/** A device in the registry. */
export interface Registered {
  /** The device. */
  readonly device: HostDevice;
  /** Its group. */
  readonly group: IommuGroup;
  /** The address space that it belongs to. */
  readonly space: object;
  /** What the kernel knows it by; `undefined` on the way. */
  readonly ownership: Ownership | undefined;
  /** The attached device; `undefined` on the way. */
  readonly member: Member | undefined;
}

/** A device's place in the registry. Disposing of it removes the device. */
export class Registration implements Registered, Disposable {
  readonly #registry: Registry;
  readonly device: HostDevice;
  readonly group: IommuGroup;
  readonly space: object;
  ownership: Ownership | undefined;
  member: Member | undefined;

  /** Made by {@linkcode register}. */
  constructor(
    registry: Registry,
    device: HostDevice,
    group: IommuGroup,
    space: object,
  ) {
    this.#registry = registry;
    this.device = device;
    this.group = group;
    this.space = space;
  }

  /** Removes the device, and its group behind the last one of it. */
  [Symbol.dispose](): void {
    this.#registry.delete(this);
  }
}

/** The devices of one system, by their path in sysfs, and by their group. */
class Registry {
  readonly #devices = new Map<string, Registration>();
  readonly #groups = new Map<string, Set<Registration>>();

  /** The device at a path in sysfs. */
  device(path: string): Registration | undefined {
    return this.#devices.get(path);
  }

  /** The devices of a group. */
  group(id: string): ReadonlySet<Registration> {
    return this.#groups.get(id) ?? new Set();
  }

  /** Adds a device. */
  add(registration: Registration): void {
    const { device, group } = registration;
    this.#devices.set(device.path, registration);
    const devices = this.#groups.get(group.id);
    if (devices === undefined) {
      this.#groups.set(group.id, new Set([registration]));
    } else devices.add(registration);
  }

  /** Removes a device. */
  delete(registration: Registration): void {
    const { device, group } = registration;
    this.#devices.delete(device.path);
    const devices = this.#groups.get(group.id);
    devices?.delete(registration);
    if (devices?.size === 0) this.#groups.delete(group.id);
  }
}

const REGISTRIES = new WeakMap<Kernel, Registry>();

function registryOf(kernel: Kernel): Registry {
  const system = systemOf(kernel);
  let registry = REGISTRIES.get(system);
  if (registry === undefined) {
    REGISTRIES.set(system, registry = new Registry());
  }
  return registry;
}

/**
 * Registers a device, and its group with it, for an address space.
 *
 * @param device The device.
 * @param group Its group.
 * @param space The address space.
 * @returns Its place; disposing of that removes both.
 * @throws {VfioError} `ALREADY_ATTACHED` or `GROUP_IN_OTHER_SPACE`.
 */
export function register(
  device: HostDevice,
  group: IommuGroup,
  space: object,
): Registration {
  const registry = registryOf(device.host.kernel);
  if (registry.device(device.path) !== undefined) {
    throw new VfioError("ALREADY_ATTACHED", {
      device: device.name,
      problem: "this process has it attached already",
      hint: "use the device that was attached first, or detach that one",
    });
  }
  const [present] = registry.group(group.id);
  if (present !== undefined && present.space !== space) {
    throw new VfioError("GROUP_IN_OTHER_SPACE", {
      device: device.name,
      problem: `its IOMMU group ${group.id} is attached to another address ` +
        "space of this process",
      hint: "attach all devices of a group to one address space: the IOMMU " +
        "cannot tell them apart",
    });
  }
  const registration = new Registration(registry, device, group, space);
  registry.add(registration);
  return registration;
}

/** What this process knows of a device that it has attached, or is attaching. */
export function registered(device: HostDevice): Registered | undefined {
  return registryOf(device.host.kernel).device(device.path);
}

/** The devices of a group that this process has attached, or is attaching. */
export function registeredIn(group: IommuGroup): Iterable<Registered> {
  return registryOf(group.host.kernel).group(group.id);
}
