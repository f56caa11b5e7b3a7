/**
 * The processor time of processes, which other work of the machine does
 * not change as it changes the time that passes.
 *
 * @module
 */

// sys/resource.h
const RUSAGE_SELF = 0;
const RUSAGE_CHILDREN = -1;
/** `struct rusage` on 64 bits. It begins with the user and the system time. */
const RUSAGE_BYTES = 144;

const libc = Deno.dlopen("libc.so.6", {
  getrusage: {
    parameters: [
      "i32", // int who
      "buffer", // struct rusage *usage
    ],
    result: "i32",
  },
}).symbols;

/** The nanoseconds that this process took. */
export function ownTime(): number {
  return usedTime(RUSAGE_SELF);
}

function usedTime(who: number): number {
  const usage = new BigInt64Array(RUSAGE_BYTES / 8);
  libc.getrusage(who, usage);
  const [userSeconds, userMicros, systemSeconds, systemMicros] = usage;
  return Number(userSeconds! + systemSeconds!) * 1e9 +
    Number(userMicros! + systemMicros!) * 1e3;
}

/**
 * Measures the processor time of the processes that work starts and waits for.
 *
 * @param work Starts them.
 * @returns Nanoseconds.
 */
export async function processorTime(
  work: () => Promise<void>,
): Promise<number> {
  const before = usedTime(RUSAGE_CHILDREN);
  await work();
  return usedTime(RUSAGE_CHILDREN) - before;
}
