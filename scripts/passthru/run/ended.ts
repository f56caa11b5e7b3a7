/**
 * The end of a command that holds devices.
 *
 * @module
 */

import { waitUntilAborted } from "../../../lib/kernel/interruption.ts";
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
  const stop = new AbortController();
  const asked = new AbortController();
  for (const device of devices) {
    device.requests.next(stop).then(() => {
      terminal.warn(`${device.name}: the kernel asks for it back\n`);
      asked.abort();
    }, () => {});
  }
  try {
    await waitUntilAborted(AbortSignal.any([terminal.signal, asked.signal]));
  } finally {
    stop.abort();
  }
}
