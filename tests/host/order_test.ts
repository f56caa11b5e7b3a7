/**
 * Two threads see each other's accesses to memory in the order that
 * `lib/rings/order.ts` says, in code that V8 has optimised.
 */
import { assertEquals } from "@std/assert";
import { CELLS, type Side, WORDS } from "./order_worker.ts";

/** Runs both sides, and returns what each has found, by its turns. */
async function run(how: Side["how"]): Promise<number[][][]> {
  const memory = new SharedArrayBuffer(4 * WORDS);
  const workers: Worker[] = [];
  const found = [0, 1].map((side) => {
    const worker = new Worker(
      import.meta.resolve("./order_worker.ts"),
      { type: "module", name: "order" },
    );
    workers.push(worker);
    const { promise, resolve, reject } = Promise.withResolvers<number[][]>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ memory, side, how } satisfies Side);
    return promise;
  });
  try {
    return await Promise.all(found);
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** In how many cells neither side has seen the other's store. */
async function missed(how: Side["how"]): Promise<number> {
  const [one, other] = await run(how);
  let count = 0;
  for (const [turn, seen] of one!.entries()) {
    const value = turn + 1;
    for (let cell = 0; cell < CELLS; cell++) {
      const both = seen[cell]! < value && other![turn]![cell]! < value;
      if (both) count++;
    }
  }
  return count;
}

const hasTwo = navigator.hardwareConcurrency > 1;

Deno.test({
  name:
    "fence() keeps a load behind a store, which a processor otherwise swaps",
  ignore: !hasTwo,
  async fn() {
    // How often it swaps depends on the machine's other work.
    let swapped = 0;
    for (let times = 0; times < 20 && swapped === 0; times++) {
      swapped = await missed("plain");
    }
    assertEquals(swapped > 0, true);
    assertEquals(await missed("fence"), 0);
    assertEquals(await missed("wasm"), 0);
  },
});

Deno.test({
  name: "publish() and acquire() let nobody see a flag before what it is for",
  ignore: !hasTwo,
  async fn() {
    const [, wrong] = await run("message");
    assertEquals(wrong!.flat(), []);
  },
});
