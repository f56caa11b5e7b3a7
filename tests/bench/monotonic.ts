/**
 * The clock of the C program, `peer/`.
 *
 * @module
 */

const CLOCK_MONOTONIC = 1;

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  clock_gettime: {
    parameters: [
      "i32", // clockid_t clockid
      "buffer", // struct timespec *tp
    ],
    result: "i32",
  },
});
const timespec = new BigInt64Array(2);

/** Nanoseconds of the monotonic clock, as the C program reads it. */
export function now(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, timespec);
  return Number(timespec[0]) * 1e9 + Number(timespec[1]);
}
