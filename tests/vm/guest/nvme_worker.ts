/**
 * Serves a queue of an NVMe controller: reads a block into each of its buffers,
 * again and again, as often as it is told, then says how often.
 *
 * @module
 */
import { READ } from "../../../examples/nvme/io_queue.ts";
import {
  adoptQueue,
  type PostedQueue,
} from "../../../examples/nvme/worker_queue.ts";
import { type MemoryPlace, SharedMemory } from "../../../lib/rings/mod.ts";

/** What a Worker is told. */
export interface Job {
  /** Its queue. */
  readonly queue: PostedQueue;
  /** Its buffers: a page for each command that is under way. */
  readonly memory: MemoryPlace;
  /** How often it reads. */
  readonly times: number;
  /** The block that it reads. */
  readonly block: number;
}

/** What a Worker has found. */
export interface Found {
  /** How many commands were completed, and how many failed. */
  readonly done: number;
  readonly failed: number;
  /** The first byte of each buffer. */
  readonly bytes: readonly number[];
}

const PAGE = 4096;
/** After so many looks in vain it gives up: minutes. */
const PATIENCE = 100_000;

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Job>) => {
  const { queue, memory, times, block } = data;
  using pair = adoptQueue(queue);
  const buffers = new SharedMemory(memory);
  const count = buffers.size / PAGE;
  const read = (id: number) => pair.submit(id, READ, 1, block, 0);
  for (let i = 0; i < count; i++) {
    const id = pair.take();
    pair.bind(id, Number(buffers.iova) + i * PAGE, PAGE);
    read(id);
  }
  let [done, failed, vain] = [0, 0, 0];
  for (let underWay = count; underWay > 0 && vain < PATIENCE;) {
    pair.ring();
    if (!pair.spin(1000)) {
      vain++;
      continue;
    }
    const reaped = pair.reap();
    for (let i = 0; i < reaped; i++) {
      const id = pair.completed(i);
      if (pair.status(id) !== 0) failed++;
      done++;
      if (done + underWay <= times) read(id);
      else underWay--;
    }
  }
  const bytes = Array.from(
    { length: count },
    (_, i) => buffers.bytes[i * PAGE]!,
  );
  self.postMessage({ done, failed, bytes } satisfies Found);
};
