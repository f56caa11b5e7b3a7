import { assertEquals, assertRejects } from "@std/assert";
import type { Registers } from "../../../lib/device/regions/registers.ts";
import { until32 } from "../../../lib/device/regions/until.ts";
import type { WaitOptions } from "../../../lib/host/driver/deadline.ts";
import { refused } from "../../failures.ts";

/** A register whose value depends on how often it was read, and on time. */
function setUp(read: (reads: number) => number, isPresent = () => true) {
  let reads = 0;
  const offsets = new Set<number>();
  const registers = {
    read32(offset: number) {
      offsets.add(offset);
      return read(++reads);
    },
  } as Registers;
  return {
    offsets,
    reads: () => reads,
    wait: (mask: number, value: number, options?: WaitOptions) =>
      until32(
        registers,
        { name: "gpu", isPresent },
        { offset: 0x1c, mask, value },
        options,
      ),
  };
}

Deno.test("until32() returns the whole register when the bits of the mask match", async () => {
  const { wait, reads, offsets } = setUp((reads) => reads < 3 ? 0x10 : 0x8111);
  const start = performance.now();
  assertEquals(await wait(0x1, 0x1), 0x8111);
  assertEquals([reads(), ...offsets], [3, 0x1c]);
  assertEquals(performance.now(), start);
});

Deno.test("until32() treats the highest bit as any other", async () => {
  assertEquals(
    await setUp(() => 0x8000_0001).wait(0x8000_0000, 0x8000_0000),
    0x8000_0001,
  );
  assertEquals(
    await setUp(() => 0xffff_ffff).wait(0xffff_ffff, 0xffff_ffff),
    0xffff_ffff,
  );
});

Deno.test("until32() reads at once, then after pauses that grow to 16 ms", async () => {
  const times: number[] = [];
  const start = performance.now();
  const { wait } = setUp((reads) => {
    times.push(performance.now() - start);
    return reads < 72 ? 0 : 1;
  });
  assertEquals(await wait(1, 1), 1);
  assertEquals(times.slice(0, 65).every((time) => time === 0), true);
  assertEquals(times.slice(65), [1, 3, 7, 15, 31, 47, 63]);
});

Deno.test("until32() throws TIMED_OUT when the time is over, after a last read", async () => {
  const start = performance.now();
  const { wait } = setUp(() => 0x40);
  const error = await refused("TIMED_OUT", () => wait(0xf, 1, { timeout: 50 }));
  assertEquals(performance.now() - start, 50);
  assertEquals(
    error.problem,
    "its register at 0x1c still has 0x40 after 50 ms",
  );
  assertEquals(error.device, "gpu");
  let late = false;
  setTimeout(() => late = true, 50);
  const ready = setUp(() => late ? 1 : 0).wait(1, 1, { timeout: 50 });
  assertEquals(await ready, 1);
});

Deno.test("until32() throws the signal's reason when it is aborted", async () => {
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error("enough")), 5);
  const { signal } = abort;
  const { wait } = setUp(() => 0);
  await assertRejects(() => wait(1, 1, { signal }), Error, "enough");
  assertEquals(performance.now() % 1, 0);
  await assertRejects(() => wait(1, 1, { signal }), Error, "enough");
});

Deno.test("until32() throws DEVICE_LOST when ones are read of a device that is gone", async () => {
  let gone = false;
  const { wait, reads } = setUp((reads) => {
    gone = reads > 70;
    return gone ? 0xffff_ffff : 0;
  }, () => !gone);
  const error = await refused("DEVICE_LOST", () => wait(1, 1));
  assertEquals([error.device, reads()], ["gpu", 71]);
});

Deno.test("until32() asks once a pause whether a device that reads as ones is there", async () => {
  let asked = 0;
  const { wait, reads } = setUp(() => 0xffff_ffff, () => {
    asked++;
    return true;
  });
  await refused("TIMED_OUT", () => wait(1, 0, { timeout: 15 }));
  assertEquals([asked, reads()], [5, 5]);
});

for (
  const [mask, value] of [[0x1, 0x2], [-1, 0], [0.5, 0], [1, NaN], [2 ** 32, 0]]
) {
  Deno.test(`until32() throws a RangeError when the mask is ${mask} and the value ${value}`, async () => {
    const { wait, reads } = setUp(() => 0);
    await assertRejects(() => wait(mask!, value!), RangeError);
    assertEquals(reads(), 0);
  });
}
