/**
 * Measures what an apply and its undoing take for each function where there are
 * many: on a simulated host, as no machine has so many.
 *
 * @module
 */
import { apply } from "../../lib/provision/mod.ts";
import { simulate } from "../../lib/sim/mod.ts";
import { compare, type Comparison, type Contestant } from "./compare.ts";

const FEW = 256;
const MANY = 4096;

/**
 * Measures how much more a function takes among 4,096 than among 256, which
 * take the place of C.
 *
 * @param rounds How many rounds there are.
 */
export async function measureApply(rounds: number): Promise<Comparison> {
  const what = `apply + restore, one of ${MANY} functions, C: one of ${FEW}`;
  return await compare(
    { what, target: 1.3, warmUp: 0, times: 1, rounds },
    { ts: applying(MANY), c: applying(FEW) },
  );
}

/** Takes functions from their drivers and gives them back. */
function applying(count: number): Contestant {
  const addresses = Array.from({ length: count }, (_, i) => addressOf(i));
  const state = {
    functions: addresses.map((select) => ({ select, driver: "vfio-pci" })),
  };
  const functions = Object.fromEntries(
    addresses.map((address) => [
      address,
      { id: "8086:10d3", driver: "e1000e" },
    ]),
  );
  return async () => {
    const host = simulate({ functions });
    const start = performance.now();
    const applied = await apply(host, state);
    await applied[Symbol.asyncDispose]();
    return (performance.now() - start) * 1e6 / count;
  };
}

function addressOf(i: number): string {
  const digits = (value: number) => value.toString(16).padStart(2, "0");
  return `0000:${digits(1 + (i >> 8))}:${digits(i >> 3 & 31)}.${i & 7}`;
}
