/**
 * Shows the settings of a device that change with its driver: the only driver
 * that may bind it, and whether it may be suspended.
 *
 * @module
 */

import { type Blocking, run } from "../process/blocking.ts";
import type { Device } from "../driver/bus.ts";
import {
  always,
  attribute,
  type Entry,
  nested,
  readWrite,
  type Show,
} from "../fs/tree.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "../process/refusal.ts";
import { cString, word } from "./input.ts";

/** A device with these settings. */
export interface Settable extends Device {
  /** The machine it is in. */
  readonly machine: Machine;
  /** Whether it may be suspended: `power/control`. */
  power: "on" | "auto";
}

/**
 * The longest override, in bytes: less than a page, since the kernel appends to
 * it.
 */
const MAX_OVERRIDE = 4095;

// Before Linux 7.0, reading and writing wait while the device's driver changes.
const showOverride: Show<Settable> = ({ machine, lock, override }) => {
  if (!machine.since(7, 0)) lock.assertFree();
  return `${override ?? "(null)"}\n`;
};

const overrideReadable = ({ machine, lock }: Settable) =>
  machine.since(7, 0) ? undefined : run(lock.free());

/** `__device_set_driver_override()` in `drivers/base/dd.c`. */
const storeOverride = (device: Settable, text: string): Blocking<void> => {
  if (text.length >= MAX_OVERRIDE) refuse("EINVAL");
  const name = cString(text).split("\n")[0]!;
  return run(function* () {
    if (!device.machine.since(7, 0)) yield* device.lock.free();
    device.override = name === "" ? undefined : name;
  }());
};

/** `driver_override`. */
export const OVERRIDE: Entry<Settable> = always((device, path) =>
  attribute(device, path, 0o644, () => ({
    show: () => showOverride(device),
    store: (text) => storeOverride(device, text),
    readable: () => overrideReadable(device),
  }))
);

/** The directory `power`. */
export const POWER: Entry<Settable> = nested<Settable>({
  control: readWrite(({ power }) => `${power}\n`, storePower),
});

/** `control_store()` in `drivers/base/power/sysfs.c`. */
function storePower(device: Settable, text: string): Blocking<void> {
  return run(function* () {
    yield* device.lock.free();
    const control = word(text);
    if (control !== "on" && control !== "auto") return refuse("EINVAL");
    device.power = control;
  }());
}
