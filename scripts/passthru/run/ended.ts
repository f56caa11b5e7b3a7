/**
 * The end of a command that holds devices.
 *
 * @module
 */

import type { VfioDevice } from "../../../lib/device/vfio_device.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * Waits for Ctrl-C, which is how such a command ends successfully, or until the
 * kernel asks for one of the devices back, which it says.
 *
 * @param terminal Where it is interrupted, and says so.
 * @param devices The devices.
 */
export async function ended(
  terminal: Terminal,
  devices: readonly VfioDevice[],
): Promise<void> {
  const { signal } = terminal;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = new AbortController();
  // A timer keeps the process alive, which a listener does not.
  const timer = setInterval(() => {}, 2 ** 30);
  const end = () => resolve();
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  for (const device of devices) {
    device.requests.next(stop).then(() => {
      terminal.warn(`${device.name}: the kernel asks for it back\n`);
      end();
    }, () => {});
  }
  try {
    await promise;
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", end);
    stop.abort();
  }
}
