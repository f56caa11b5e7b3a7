/** Adds one to each value of a ring that another thread posts, in place. */
import { publish, Ring, SharedMemory, u32 } from "../../lib/rings/mod.ts";

declare const self: Worker;

self.onmessage = ({ data }) => {
  const ring = new Ring(new SharedMemory(data), {
    size: 16,
    fields: { value: u32(0), done: u32(12) },
  });
  const { value, done } = ring.fields;
  for (let slot = 0; slot < ring.entries; slot++) {
    value.set(slot, value.get(slot) + 1);
    publish();
    done.set(slot, 1);
  }
  self.postMessage(String(ring.iova));
};
