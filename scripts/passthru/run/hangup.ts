/**
 * Whether this process goes on when its terminal is gone.
 *
 * @module
 */

import { readable } from "../../../lib/host/openers.ts";
import { localKernel } from "../../../lib/kernel/local.ts";

/** SIGHUP in a mask of signals, of which the first has the number 1. */
const SIGHUP = 1n;

let ignored: boolean | undefined;

/**
 * Whether this process was started with SIGHUP ignored, as nohup does. The
 * first call has to come before Deno listens to any signal: then it takes
 * SIGHUP as well.
 */
export function ignoresHangup(): boolean {
  return ignored ??= readIgnored();
}

function readIgnored(): boolean {
  const status = readable(() => localKernel().readFile("/proc/self/status"));
  const [, mask] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status ?? "") ?? [];
  return mask !== undefined && (BigInt(`0x${mask}`) & SIGHUP) !== 0n;
}
