/** The NVMe driver of `examples/nvme/` on a simulated controller. */
import { assertEquals, assertRejects } from "@std/assert";
import { Histogram } from "../../../examples/nvme/measure/histogram.ts";
import {
  measureAwaited,
  measurePolled,
} from "../../../examples/nvme/measure/load.ts";
import type { Wait } from "../../../examples/nvme/waiting.ts";
import { assertSame, NvmeSetup, randomBytes } from "./setup.ts";

Deno.test("NvmeController identifies itself, its namespaces and its health", async () => {
  await using setup = await NvmeSetup.attach();
  const controller = await setup.start();
  const identity = await controller.identify();
  assertEquals(identity, {
    serial: "simulated",
    model: "Simulated NVMe",
    firmware: "1.0",
    maxTransfer: 2 ** 19,
    shadowDoorbells: true,
    namespaces: 1,
  });
  assertEquals(await controller.namespaces(), [1]);
  assertEquals(
    await controller.namespace(1),
    { id: 1, blocks: 16384, blockSize: 512 },
  );
  assertEquals(
    await controller.health(),
    { warnings: 0, temperature: 40, spare: 100, used: 0 },
  );
  assertEquals((await controller.logPage(2, 8)).length, 8);
  await assertRejects(() => controller.logPage(2, 3), RangeError);
  const error = await assertRejects(() => controller.logPage(0x42, 512));
  assertEquals(
    (error as Error).message,
    "nvme 0000:01:00.0: command 0x2 failed: invalid log page",
  );
});

/** Lengths in blocks: one page, two, a list, more than one command. */
const LENGTHS = [1, 7, 8, 9, 16, 17, 100, 1024, 1025];

for (const wait of ["poll", "interrupt", "hybrid"] as const) {
  for (const shadowDoorbells of [true, false]) {
    const doorbells = shadowDoorbells ? "memory" : "registers";
    Deno.test(`BlockDevice.read() reads what write() wrote, by ${wait}, with doorbells in ${doorbells}`, async () => {
      await using setup = await NvmeSetup.attach();
      const controller = await setup.start({ interrupts: 2, shadowDoorbells });
      await using disk = await controller.open(1, { depth: 3, wait });
      for (const [i, length] of LENGTHS.entries()) {
        const block = 10 * i;
        const bytes = randomBytes(i, length * 512);
        await disk.write(block, bytes);
        const read = new Uint8Array(length * 512);
        await disk.read(block, read);
        assertSame(read, bytes);
      }
      await disk.flush();
      assertEquals(setup.blocked, []);
    });
  }
}

Deno.test("BlockDevice transfers DMA memory as it is, wherever it begins in a page", async () => {
  await using setup = await NvmeSetup.attach();
  const controller = await setup.start();
  await using disk = await controller.open();
  using memory = setup.space.allocate(2 ** 20);
  for (const offset of [0, 4, 512, 4092]) {
    const from = memory.slice(offset, 20 * 512);
    from.bytes.set(randomBytes(offset, from.size));
    await disk.write(3, from);
    const into = memory.slice(2 ** 19 + offset, from.size);
    await disk.read(3, into);
    assertSame(into.bytes, from.bytes);
  }
  await assertRejects(() => disk.read(0, memory.slice(2, 512)), RangeError);
  assertEquals(setup.blocked, []);
});

Deno.test("BlockDevice refuses what is not whole blocks of the namespace", async () => {
  await using setup = await NvmeSetup.attach();
  const controller = await setup.start();
  await using disk = await controller.open();
  for (
    const [block, bytes] of [[0, 0], [0, 511], [-1, 512], [0.5, 512], [
      16384,
      512,
    ], [16383, 1024]] as const
  ) {
    const blocks = new Uint8Array(bytes);
    await assertRejects(() => disk.read(block, blocks), RangeError);
    await assertRejects(() => disk.write(block, blocks), RangeError);
  }
});

Deno.test("BlockDevice streams what was written to it as a stream", async () => {
  await using setup = await NvmeSetup.attach();
  const controller = await setup.start();
  await using disk = await controller.open();
  const bytes = randomBytes(1, 2 ** 20 + 100);
  const chunks = [bytes.subarray(0, 1000), bytes.subarray(1000)];
  await ReadableStream.from(chunks).pipeTo(disk.writable(5));
  const read = new Uint8Array(
    await new Response(disk.readable(5, 2049)).arrayBuffer(),
  );
  assertSame(read.subarray(0, bytes.length), bytes);
  assertEquals(read.subarray(bytes.length), new Uint8Array(412));
});

async function hundred(wait: Wait, depth: number): Promise<number> {
  let most = 0;
  const held: number[] = [];
  await using setup = await NvmeSetup.faulty({
    onCommand: ({ queue, id }) => {
      if (queue === 0) return;
      held.push(id);
      most = Math.max(most, new Set(held).size);
    },
  });
  const controller = await setup.start({ interrupts: 1 });
  await using disk = await controller.open(1, { depth, wait });
  using memory = setup.space.allocate(100 * 512);
  const reads = Array.from(
    { length: 100 },
    (_, i) => disk.read(i, memory.slice(512 * i, 512)),
  );
  await Promise.all(reads);
  assertEquals(held.length, 100);
  return most;
}

for (const depth of [1, 2, 32, 99, 100, 2047]) {
  Deno.test(`A queue of ${depth} has as many of 100 commands under way as it can`, async () => {
    assertEquals(await hundred("poll", depth), Math.min(depth, 100));
    assertEquals(await hundred("interrupt", depth), Math.min(depth, 100));
  });
}

Deno.test("NvmeController.queue() makes as many queues as the controller has", async () => {
  await using setup = await NvmeSetup.attach({ queues: 3 });
  const controller = await setup.start();
  await assertRejects(() => controller.queue({ depth: 0 }), RangeError);
  await assertRejects(() => controller.queue({ depth: 2048 }), RangeError);
  await assertRejects(() => controller.queue({ wait: "interrupt" }), TypeError);
  const disks = await Promise.all([1, 2, 3].map(() => controller.open()));
  const error = await assertRejects(() => controller.open());
  assertEquals(
    (error as Error).message,
    "nvme 0000:01:00.0: the controller has no more than 3 queues",
  );
  await disks[1]![Symbol.asyncDispose]();
  await using again = await controller.open();
  await again.read(0, new Uint8Array(512));
  const closed = await assertRejects(() =>
    disks[1]!.read(0, new Uint8Array(512))
  );
  assertEquals((closed as { code?: string }).code, "CLOSED");
});

Deno.test("A loop on a queue's rings keeps it full, and wraps around many times", async () => {
  await using setup = await NvmeSetup.attach();
  const controller = await setup.start();
  await using disk = await controller.open(1, { depth: 7 });
  const { pair } = disk.queue;
  using memory = setup.space.allocate(7 * 4096);
  for (let i = 0; i < 7; i++) {
    const id = pair.take();
    pair.bind(id, Number(memory.iova) + id * 4096, 4096);
    pair.submit(id, 2, 1, 8 * i, 7);
  }
  assertEquals([pair.take(), pair.free], [-1, 0]);
  let done = 0;
  for (let turn = 0; turn < 1000; turn++) {
    pair.ring();
    assertEquals(pair.spin(1), true);
    const count = pair.reap();
    for (let i = 0; i < count; i++) {
      const id = pair.completed(i);
      assertEquals(pair.status(id), 0);
      done++;
      pair.submit(id, 2, 1, (done * 8) % 16000, 7);
    }
  }
  assertEquals(done, 7000);
  assertEquals(pair.spin(10), false);
  assertEquals(setup.blocked, []);
});

for (const rw of ["randread", "write"]) {
  Deno.test(`measurePolled() and measureAwaited() keep a disk busy by ${rw}`, async () => {
    await using setup = await NvmeSetup.attach();
    const controller = await setup.start({ interrupts: 1 });
    await using disk = await controller.open(1, { depth: 4 });
    const load = { rw, bs: 1024, iodepth: 3, runtime: 0, ramp: 0 };
    const polled = measurePolled(controller, setup.space, disk, load);
    assertEquals([polled.commands, polled.latency.count], [3, 3]);
    assertEquals(disk.queue.pair.free, 4);
    await using other = await controller.open(1, { wait: "interrupt" });
    const { now } = performance;
    let time = now.call(performance);
    // Time passes by being asked for.
    performance.now = () => time += 0.001;
    try {
      const awaited = await measureAwaited(setup.space, other, {
        ...load,
        runtime: 0.001,
      });
      assertEquals(awaited.commands > 10, true);
      assertEquals(awaited.latency.count, awaited.commands);
    } finally {
      performance.now = now;
    }
    assertEquals(setup.blocked, []);
  });
}

Deno.test("Histogram.percentile() is right to 1.6 percent", () => {
  const histogram = new Histogram();
  for (let time = 1; time <= 100_000; time++) histogram.add(time);
  for (const percent of [1, 50, 90, 99, 99.9]) {
    const right = 1000 * percent;
    const ratio = histogram.percentile(percent) / right;
    assertEquals(ratio > 0.984 && ratio < 1.016, true, `${percent} ${ratio}`);
  }
  const { min, max, mean, N } = histogram.summary();
  assertEquals([min, max, mean, N], [1, 100_000, 50_000.5, 100_000]);
  const small = new Histogram();
  for (const time of [3, 3, 63, 64, 2 ** 40]) small.add(time);
  assertEquals([1, 50, 70].map((each) => small.percentile(each)), [3, 63, 64]);
});
