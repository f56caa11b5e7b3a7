/**
 * The same as `rings.ts` in a machine whose clock counts instructions:
 * `rings_guest.ts PROGRAM ROUNDS` prints a comparison in each line, as JSON.
 *
 * @module
 */
import { measureRings } from "./rings.ts";

/** Nanoseconds of an instruction: QEMU's `-icount shift=1`. */
const INSTRUCTION = 2;

const [program, rounds] = Deno.args;
for await (const comparison of measureRings(program!, Number(rounds))) {
  const count = (times: readonly number[]) =>
    times.map((time) => time / INSTRUCTION);
  const { what, times, c, ts } = comparison;
  const counted = { what, times, c: count(c), ts: count(ts) };
  console.log(JSON.stringify({ ...counted, unit: "instructions" }));
}
