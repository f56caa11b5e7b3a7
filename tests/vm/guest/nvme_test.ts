/** The NVMe driver of `examples/nvme/` on a controller that QEMU emulates. */
import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import { NvmeController } from "../../../examples/nvme/controller.ts";
import { READ } from "../../../examples/nvme/io_queue.ts";
import { memoryPlace } from "../../../lib/rings/mod.ts";
import type { Found } from "./nvme_worker.ts";
import { forEachBackend } from "./setup.ts";

/** In blocks: one page, two, a list of pages, more than one command. */
const LENGTHS = [1, 8, 9, 16, 17, 130, 1024, 1500];

function randomize(bytes: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < bytes.length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
}

for (const wait of ["poll", "interrupt", "hybrid"] as const) {
  forEachBackend(
    `A controller gives back what was written to it, by ${wait}`,
    async (setup) => {
      const space = setup.space();
      const device = await setup.attach("nvme0", space);
      await using controller = await NvmeController.start(device, {
        interrupts: 1,
      });
      await using disk = await controller.open(1, { depth: 4, wait });
      const from = space.allocate(2 ** 20);
      const into = space.allocate(2 ** 20);
      randomize(from.bytes);
      await Promise.all(LENGTHS.map(async (length, i) => {
        // Each begins elsewhere in a page, and on the disk.
        const part = from.slice(512 * i + 4 * i, length * disk.blockSize);
        await disk.write(4096 * i + i, part);
      }));
      await disk.flush();
      for (const [i, length] of LENGTHS.entries()) {
        const part = from.slice(512 * i + 4 * i, length * disk.blockSize);
        const read = into.slice(4 * i, part.size);
        read.bytes.fill(0);
        await disk.read(4096 * i + i, read);
        assertEquals(Buffer.compare(read.bytes, part.bytes), 0);
      }
    },
  );
}

forEachBackend(
  "A queue that polls goes around its rings without a promise",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("nvme0", space);
    await using controller = await NvmeController.start(device);
    await using disk = await controller.open(1, { depth: 7 });
    const { pair } = disk.queue;
    using memory = space.allocate(7 * 4096);
    const iova = Number(memory.iova);
    for (let i = 0; i < pair.depth; i++) {
      const id = pair.take();
      pair.bind(id, iova + 4096 * id, 4096);
      pair.submit(id, READ, 1, 8 * i, 7);
    }
    let done = 0;
    const deadline = performance.now() + 60_000;
    while (done < 2000) {
      pair.ring();
      if (!pair.spin(1000) && performance.now() > deadline) break;
      const count = pair.reap();
      for (let i = 0; i < count; i++, done++) {
        const id = pair.completed(i);
        assertEquals(pair.status(id), 0);
        pair.submit(id, READ, 1, 8 * (done % 1000), 7);
      }
    }
    assertEquals(done >= 2000, true);
  },
);

forEachBackend(
  "A controller that was reset has its queues again",
  async (setup) => {
    const device = await setup.attach("nvme0", setup.space());
    await using controller = await NvmeController.start(device);
    await using disk = await controller.open();
    const bytes = new Uint8Array(4096).fill(7);
    await disk.write(64, bytes);
    await controller.reset();
    const read = new Uint8Array(4096);
    await disk.read(64, read);
    assertEquals(read, bytes);
    assertEquals((await controller.health()).warnings, 0);
  },
);

forEachBackend(
  "Two Workers serve a queue each, while the first thread uses a third",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("nvme0", space);
    await using controller = await NvmeController.start(device);
    await using disk = await controller.open(1, { depth: 2 });
    const depth = 4;
    const found: Promise<Found>[] = [];
    await using stack = new AsyncDisposableStack();
    for (const block of [1000, 2000]) {
      await disk.write(block, new Uint8Array(512).fill(block / 100));
      const queue = stack.use(await controller.queue({ depth }));
      const memory = stack.use(space.allocate(4096 * depth));
      const worker = new Worker(
        import.meta.resolve("./nvme_worker.ts"),
        { type: "module" },
      );
      stack.defer(() => worker.terminate());
      const { promise, resolve, reject } = Promise.withResolvers<Found>();
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({
        ...{ queue: controller.post(queue), memory: memoryPlace(memory) },
        ...{ times: 500, block },
      });
      found.push(promise);
    }
    const bytes = new Uint8Array(512);
    for (let i = 0; i < 20; i++) await disk.read(1000, bytes);
    assertEquals(bytes[0], 10);
    assertEquals(await Promise.all(found), [
      { done: 500, failed: 0, bytes: [10, 10, 10, 10] },
      { done: 500, failed: 0, bytes: [20, 20, 20, 20] },
    ]);
  },
);
