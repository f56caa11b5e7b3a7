/**
 * Taking devices for as long as a command runs.
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

/** How devices are taken. */
export interface TakingOptions extends ApplyOptions {
  /** What becomes of the other endpoints of their groups. */
  readonly group?: FunctionState["group"] | undefined;
}

/**
 * Makes devices ready for VFIO by {@linkcode apply}, so that `restore` brings
 * them back when the command is killed. Those that have a VFIO driver already
 * and mediated devices stay as they are; where all do, it needs no rights.
 *
 * @param host The host.
 * @param devices The devices.
 * @param options What `apply` takes, and what becomes of the groups.
 * @returns What gives them back; `undefined` where nothing was to do.
 * @throws {VfioError} The same as `apply`.
 */
export async function takeForVfio(
  host: Host,
  devices: readonly HostDevice[],
  { group = "refuse", ...options }: TakingOptions,
): Promise<AsyncDisposable | undefined> {
  const functions = devices.filter((device) => device instanceof PciFunction);
  const state: DesiredState = {
    functions: functions.map(({ address, driver = "" }) => ({
      select: address,
      driver: isVfioDriver(driver) ? driver : "vfio-pci",
      group,
    })),
  };
  if (plan(host, state).steps.length === 0) return undefined;
  return await apply(host, state, options);
}
