/** DMA memory in a Worker: it sees the same bytes, by their address. */
import { assertEquals, assertThrows } from "@std/assert";
import { AddressSpace, Host } from "../../mod.ts";
import {
  acquire,
  memoryPlace,
  Ring,
  SharedMemory,
  SharedRegisters,
  u32,
} from "../../lib/rings/mod.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
// libc is loaded in parts, which in a test would look like a leak.
await loadAll(kernel);

const SHAPE = { size: 16, fields: { value: u32(0), done: u32(12) } };

Deno.test("A Worker and this thread share a ring in DMA memory", async () => {
  await using space = new AddressSpace({ host: new Host({ kernel }) });
  using memory = space.allocate(8192);
  const slice = memory.slice(4096, 1024);
  const ring = new Ring(slice, SHAPE);
  for (let slot = 0; slot < ring.entries; slot++) {
    ring.fields.value.set(slot, 100 + slot);
  }
  const worker = new Worker(
    import.meta.resolve("./shared_memory_worker.ts"),
    { type: "module", name: "shared" },
  );
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage(memoryPlace(slice));
  assertEquals(await promise, String(slice.iova));
  worker.terminate();
  const { value, done } = ring.fields;
  for (let slot = 0; slot < ring.entries; slot++) {
    acquire(ring.words, slot * 4 + 3);
    assertEquals([value.get(slot), done.get(slot)], [101 + slot, 1]);
  }
  // What is around it is as it was.
  assertEquals(memory.bytes.subarray(0, 4096).some((byte) => byte), false);
});

Deno.test("SharedMemory and SharedRegisters refuse what was not posted", async () => {
  const none = { address: 0n, iova: 0n, size: 4096 };
  assertThrows(() => new SharedMemory(none), TypeError);
  await using space = new AddressSpace({ host: new Host({ kernel }) });
  using memory = space.allocate(4096);
  const place = memoryPlace(memory);
  assertThrows(() => new SharedMemory({ ...place, size: 0 }), TypeError);
  const registers = new SharedRegisters(place);
  for (const offset of [-4, 2, 4096, NaN]) {
    assertThrows(() => registers.write32(offset, 1), RangeError);
  }
  registers.write32(4092, 0x8000_0001);
  assertEquals(memory.bytes.subarray(4092), Uint8Array.of(1, 0, 0, 0x80));
});
