import { assertEquals, assertRejects } from "@std/assert";
import { EventCounts } from "../../../lib/kernel/event_counts.ts";
import type { EventSource } from "../../../lib/kernel/kernel.ts";

/** A source that is ready in a turn of its own, as the real one is. */
function source(methods: Partial<EventSource>): EventSource {
  return {
    arm: (ready) => void setTimeout(ready),
    disarm() {},
    read: () => 1,
    release() {},
    ...methods,
  };
}

function fail(what: string): () => never {
  return () => {
    throw new Error(what);
  };
}

Deno.test("EventCounts.next() throws what reading the count throws, and releases the source", async () => {
  let released = 0;
  const counts = new EventCounts(source({
    read: fail("EBADF"),
    release: () => void released++,
  }));
  const error = await assertRejects(() => counts.next());
  assertEquals(String(error), "Error: EBADF");
  assertEquals(released, 1);
  assertEquals(await counts.next(), { value: undefined, done: true });
});

Deno.test("EventCounts.next() throws the signal's reason when releasing the source fails", async () => {
  for (const release of [fail("EIO"), () => Promise.reject(new Error("EIO"))]) {
    const controller = new AbortController();
    const counts = new EventCounts(
      source({ arm() {}, release }),
      controller.signal,
    );
    const waiting = assertRejects(() => counts.next());
    controller.abort(new Error("enough"));
    assertEquals(String(await waiting), "Error: enough");
  }
});

Deno.test("EventCounts.return() throws what releasing the source throws", async () => {
  const counts = new EventCounts(source({ arm() {}, release: fail("EIO") }));
  const waiting = counts.next();
  const error = await assertRejects(() => counts.return());
  assertEquals(String(error), "Error: EIO");
  assertEquals(await waiting, { value: undefined, done: true });
});
