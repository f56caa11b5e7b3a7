/**
 * Which driver gets a device, and how it lets go of it (`drivers/base/dd.c`,
 * `drivers/base/bus.c`).
 *
 * @module
 */

import type { Steps } from "../process/blocking.ts";
import type { Device, Driver } from "./bus.ts";
import type { Machine } from "../machine/machine.ts";
import { Refusal, refuse } from "../process/refusal.ts";
import { unregister } from "../vfio/core.ts";

/** Binds a device to a driver, as the driver's `bind` does. */
export function* bind(device: Device, driver: Driver): Steps<void> {
  if (!device.matches(driver)) refuse("ENODEV");
  yield* attach(device, driver);
}

/** Binds a device to a driver, whether that is for it or not. */
export function* attach(device: Device, driver: Driver): Steps<void> {
  yield* device.lock.hold(function* () {
    if (device.removed) refuse("ENODEV");
    if (device.driver !== undefined) refuse("EBUSY");
    configureDma(device, driver);
    start(device, driver);
  }());
}

/**
 * Lets the drivers look at a device. That none takes it is well; that user
 * space has its group ends the search with EBUSY.
 */
export function* probe(machine: Machine, device: Device): Steps<void> {
  // Nor does the kernel wait for a driver that lets go of it.
  if (device.driver !== undefined) return;
  yield* device.lock.hold(function* () {
    if (device.removed || device.driver !== undefined) return;
    for (const driver of machine.drivers.values()) {
      if (!device.matches(driver)) continue;
      configureDma(device, driver);
      try {
        return start(device, driver);
      } catch (error) {
        // The next one may take it.
        if (!(error instanceof Refusal)) throw error;
      }
    }
  }());
}

/**
 * Unbinds a device from its driver. From a VFIO driver it comes loose when the
 * last of its files is closed.
 *
 * @param machine The machine it is on.
 * @param device The device.
 * @param from Its driver: ENODEV where it has another.
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
  }());
}

/** Takes a device from the machine: its driver lets go of it first. */
export function* remove(machine: Machine, device: Device): Steps<void> {
  device.removed = true;
  for (const child of [...machine.devices.below(device.path).values()]) {
    yield* remove(machine, child);
  }
  yield* unbind(machine, device);
  yield* device.abandoned();
  machine.leaveGroup(device);
  machine.devices.delete(device);
}

/** Claims a group's DMA for the kernel, where the driver wants that. */
function configureDma(device: Device, driver: Driver): void {
  if (driver.dma === "kernel" && device.group?.userOwned) refuse("EBUSY");
}

function start(device: Device, driver: Driver): void {
  device.assertTakable(driver);
  device.driver = driver;
  device.settled(driver, true);
}
