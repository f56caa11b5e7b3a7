/**
 * How long a guest may take to start its command. The processor's time counts:
 * on a busy machine a guest that waits for its turn is no guest that hangs.
 *
 * @module
 */
import type { Accelerator } from "./accelerator.ts";

/** Seconds of the processor's time. Usually a boot takes a fortieth of that. */
const LIMITS: Readonly<Record<Accelerator, number>> = { kvm: 60, tcg: 300 };

/** Seconds after which a guest that does nothing is given up. */
const IDLE_LIMIT = 900;

/** How often a boot is looked at, in milliseconds. */
const PERIOD = 1000;

/** Ticks of /proc/PID/stat in a second: USER_HZ, on all architectures. */
const TICKS = 100;

/**
 * Ends a boot that takes too long.
 *
 * @param pid QEMU's process.
 * @param by Who runs the guest.
 * @param end Ends it, and says why.
 * @returns What is disposed of once the guest has booted, or has ended.
 */
export function limitBoot(
  pid: number,
  by: Accelerator,
  end: (why: string) => void,
): Disposable {
  const start = performance.now();
  const timer = setInterval(() => {
    if (processorTime(pid) > LIMITS[by]) {
      end(`it did not boot in ${LIMITS[by]} s of the processor's time`);
    } else if (performance.now() - start > IDLE_LIMIT * 1000) {
      end(`it did not boot in ${IDLE_LIMIT} s`);
    }
  }, PERIOD);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** The seconds of the processor that a process took; 0 once it has ended. */
function processorTime(pid: number): number {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // Behind its name, which can contain anything: proc_pid_stat(5).
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  } catch {
    return 0;
  }
}
