/**
 * Taking a device from its driver, on any bus.
 *
 * @module
 */

import { toVfioError } from "../../errors.ts";
import { traced } from "../../tracing.ts";
import { refuseInUse } from "../guards/refuse.ts";
import { lockedTogether } from "../journal/shared_lock.ts";
import type { HostDevice } from "../device.ts";
import { untilNodesAppear } from "../driver/appear.ts";
import { refuseHopeless } from "../driver/bindable.ts";
import { Deadline, type WaitOptions } from "../driver/deadline.ts";
import { DriverMove, type DriverState } from "../driver/driver.ts";
import { inTurn, type Turn } from "../driver/exclusive.ts";
import { untilFreeForUs } from "../driver/in_use.ts";
import { TakeRecord } from "./record.ts";
import { TakenDevice } from "./taken.ts";
import { undone } from "./undo.ts";
import {
  assertDriverName,
  isVfioDriver,
  takeTarget,
  vfioDriverOf,
} from "../driver/vfio_driver.ts";

/** How a device is taken. */
export interface TakeOptions extends WaitOptions {
  /**
   * The driver that gets it. Default: VFIO's driver for its bus, such as
   * `"vfio-pci"` or `"vfio-platform"`.
   */
  readonly driver?: string;
  /**
   * Whether it is taken even where the host uses it, with a mounted file system
   * on it for example. Default: false.
   */
  readonly insist?: boolean;
}

/**
 * Takes a device from its driver: {@linkcode Host.take}.
 *
 * @param device The device.
 * @param options The driver, the time limit and a signal.
 */
export async function take(
  device: HostDevice,
  options: TakeOptions,
): Promise<TakenDevice> {
  const driver = driverFor(device, options.driver);
  const deadline = new Deadline(options);
  const event = () => ({ device: device.name, group: device.iommuGroup?.id });
  return await traced(
    "take",
    event,
    () => takeWithin(device, driver, deadline, options),
  );
}

async function takeWithin(
  device: HostDevice,
  driver: string,
  deadline: Deadline,
  options: TakeOptions,
): Promise<TakenDevice> {
  try {
    const present = await inTurn(
      device,
      deadline,
      (turn) => presentBinding(device, driver, deadline, turn),
    );
    if (present !== undefined) return new TakenDevice(device, driver, present);
    refuseHopeless(device, driver);
    return await lockedTogether(
      device.host.kernel,
      deadline,
      () =>
        inTurn(
          device,
          deadline,
          (turn) => takeInTurn(device, driver, deadline, turn, options),
        ),
    );
  } catch (error) {
    throw toVfioError(error, "take", device.name);
  }
}

/** The driver that gets a device. */
function driverFor(
  { name, bus }: HostDevice,
  driver: string | undefined = vfioDriverOf(bus),
): string {
  if (bus === "mdev") {
    throw new TypeError(
      `Cannot take ${name}: a mediated device has its VFIO driver already`,
    );
  }
  if (driver === undefined) {
    throw new TypeError(
      `Cannot take ${name}: VFIO has no driver for the ${bus} bus; expected ` +
        "another driver's name",
    );
  }
  assertDriverName(driver);
  return driver;
}

/**
 * How the device is bound, where the driver has it already and this process can
 * use it. Nothing is changed then, which needs no rights.
 */
async function presentBinding(
  device: HostDevice,
  driver: string,
  deadline: Deadline,
  turn: Turn,
): Promise<DriverState | undefined> {
  const present = await new DriverMove(device, deadline, turn).state();
  if (present.driver !== driver) return undefined;
  if (isVfioDriver(driver)) await untilFreeForUs(device, deadline);
  await untilNodesAppear(device, driver, deadline);
  return present;
}

async function takeInTurn(
  device: HostDevice,
  driver: string,
  deadline: Deadline,
  turn: Turn,
  options: TakeOptions,
): Promise<TakenDevice> {
  // Another process may have changed it while this one waited for the lock.
  const present = await presentBinding(device, driver, deadline, turn);
  if (present !== undefined) return new TakenDevice(device, driver, present);
  const move = new DriverMove(device, deadline, turn);
  const before = await move.state();
  refuseHopeless(device, driver);
  await move.released();
  if (!options.insist) {
    await refuseUsed(device, before, deadline, options.signal);
  }
  const record = await TakeRecord.begin(device, driver, before, deadline);
  try {
    await move.change(before, driver);
    await untilNodesAppear(device, driver, deadline);
    record.made();
  } catch (error) {
    throw await undone(error, {
      move,
      turn,
      before,
      taken: { driver, override: driver },
      onBack: () => record.drop(),
      onLeft: () => record.abandon(),
    });
  }
  return new TakenDevice(device, driver, before, record);
}

/** Refuses a device that the host uses. */
async function refuseUsed(
  device: HostDevice,
  { driver }: DriverState,
  { left }: Deadline,
  signal: AbortSignal | undefined,
): Promise<void> {
  // No process has it open through a VFIO driver any more.
  if (driver !== undefined && isVfioDriver(driver)) return;
  await refuseInUse(
    device.host,
    [device],
    [],
    { timeout: Math.max(1, left), ...(signal && { signal }) },
    () => `insist on it: host.take("${takeTarget(device)}", { insist: true })`,
  );
}
