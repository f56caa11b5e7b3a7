/**
 * Takes devices for as long as a command runs.
 *
 * @module
 */

import type { HostDevice } from "../../../lib/host/device.ts";
import type { Host } from "../../../lib/host/host.ts";
import { PciFunction } from "../../../lib/host/pci/function.ts";
import { isVfioDriver } from "../../../lib/host/driver/vfio_driver.ts";
import { apply, type ApplyOptions } from "../../../lib/provision/apply.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import type {
  DesiredState,
  FunctionState,
} from "../../../lib/provision/state/state.ts";

import { UsageError } from "../command.ts";
import { typed } from "./typed.ts";

/** How devices are taken. */
export interface TakingOptions extends ApplyOptions {
  /** What happens to the other endpoints of their groups. */
  readonly group?: FunctionState["group"] | undefined;
}

/**
 * Binds devices to VFIO drivers by {@linkcode apply}, so that `restore` gives
 * them back when the command is killed, and not before. Mediated devices, and functions that
 * have a VFIO driver already, stay as they are. When all are such, no rights
 * are needed.
 *
 * @param host The host.
 * @param devices The devices.
 * @param options The options of `apply`, and what happens to the groups.
 * @returns Gives them back when it is disposed of; `undefined` when there was
 * nothing to do.
 * @throws {VfioError} The same as `apply`.
 * @throws {UsageError} When a device is named twice.
 */
export async function takeForVfio(
  host: Host,
  devices: readonly HostDevice[],
  { group = "refuse", ...options }: TakingOptions,
): Promise<AsyncDisposable | undefined> {
  assertDistinct(devices);
  const functions = devices.filter((device) => device instanceof PciFunction);
  const state: DesiredState = {
    functions: functions.map(({ address, driver = "" }) => ({
      select: address,
      driver: isVfioDriver(driver) ? driver : "vfio-pci",
      group,
    })),
  };
  if (typed(state, () => plan(host, state)).steps.length === 0) {
    return undefined;
  }
  return await typed(
    state,
    () => apply(host, state, { ...options, held: true }),
  );
}

/** Refuses a device that is named twice. */
function assertDistinct(devices: readonly HostDevice[]): void {
  const names = devices.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new UsageError(`${twice} is given twice`);
}
