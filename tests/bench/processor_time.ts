/**
 * The processor time of other processes, which other work of the machine does
 * not change as it changes the time that passes.
 *
 * @module
 */

// sys/resource.h
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

/** The nanoseconds that the processes took that this one has waited for. */
function childrenTime(): number {
  const usage = new BigInt64Array(RUSAGE_BYTES / 8);
  libc.getrusage(RUSAGE_CHILDREN, usage);
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
  const before = childrenTime();
  await work();
  return childrenTime() - before;
}
