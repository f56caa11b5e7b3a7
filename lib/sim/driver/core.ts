/**
 * Binds devices to drivers, and unbinds them (`drivers/base/dd.c`,
 * `drivers/base/bus.c`).
 *
 * @module
 */

import type { Steps } from "../process/blocking.ts";
import type { Device, Driver } from "./bus.ts";
import type { Machine } from "../machine/machine.ts";
import { Refusal, refuse } from "../process/refusal.ts";
import { unregister } from "../vfio/core.ts";

/** Binds a device to a driver, as a write to the driver's `bind` does. */
export function* bind(device: Device, driver: Driver): Steps<void> {
  if (!device.matches(driver)) refuse("ENODEV");
  yield* attach(device, driver);
}

/** Binds a device to a driver, even if that does not match it. */
export function* attach(device: Device, driver: Driver): Steps<void> {
  yield* device.lock.hold(function* () {
    if (device.removed) refuse("ENODEV");
    if (device.driver !== undefined) refuse("EBUSY");
    configureDma(device, driver);
    start(device, driver);
  }());
}

/**
 * Binds a device to the first driver that matches and accepts it, if there is
 * one. EBUSY where user space owns its group's DMA.
 */
export function* probe(machine: Machine, device: Device): Steps<void> {
  // The kernel does not wait for a driver that is being unbound either.
  if (device.driver !== undefined) return;
  yield* device.lock.hold(function* () {
    if (device.removed || device.driver !== undefined) return;
    for (const driver of machine.drivers.values()) {
      if (!device.matches(driver)) continue;
      configureDma(device, driver);
      try {
        start(device, driver);
        return machine.announce("bind", device.path);
      } catch (error) {
        // The next driver may accept it.
        if (!(error instanceof Refusal)) throw error;
      }
    }
  }());
}

/**
 * Unbinds a device from its driver. A VFIO driver releases it when the last of
 * its files is closed.
 *
 * @param machine The machine it is on.
 * @param device The device.
 * @param from The driver. ENODEV where the device has another one.
 */
export function* unbind(
  machine: Machine,
  device: Device,
  from: Driver | undefined = device.driver,
): Steps<void> {
  if (device.driver !== from) refuse("ENODEV");
  yield* device.lock.hold(function* () {
    const { driver } = device;
    if (driver === undefined) return;
    device.unbinding = true;
    yield* device.abandoned(driver);
    yield* unregister(machine, device);
    device.settled(driver, false);
    device.driver = undefined;
    device.unbinding = false;
    machine.announce("unbind", device.path);
  }());
}

/** Removes a device from the machine, after unbinding its driver. */
export function* remove(machine: Machine, device: Device): Steps<void> {
  device.removed = true;
  for (const child of [...machine.devices.below(device.path).values()]) {
    yield* remove(machine, child);
  }
  yield* unbind(machine, device);
  yield* device.abandoned();
  machine.leaveGroup(device);
  machine.devices.delete(device);
  machine.announce("remove", device.path);
}

/**
 * Refuses a driver that does DMA for the kernel where user space owns the
 * group's DMA.
 */
function configureDma(device: Device, driver: Driver): void {
  if (driver.dma === "kernel" && device.group?.userOwned) refuse("EBUSY");
}

function start(device: Device, driver: Driver): void {
  device.assertTakable(driver);
  device.driver = driver;
  device.settled(driver, true);
}
