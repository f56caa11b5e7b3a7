import { assertEquals } from "@std/assert";
import { Resources } from "../../../lib/device/resources.ts";

/** Releases that are written down, the first of which fail. */
function release(what: string, log: string[], failures = 0) {
  return async () => {
    await Promise.resolve();
    log.push(what);
    if (failures-- > 0) throw new Error(`${what} is in use`);
  };
}

Deno.test("Resources.release() releases the last first", async () => {
  const resources = new Resources();
  const log: string[] = [];
  for (const what of ["a", "b", "c"]) resources.hold(what, release(what, log));
  assertEquals(await resources.release(), []);
  assertEquals(log, ["c", "b", "a"]);
  assertEquals(await resources.release(), []);
  assertEquals(log.length, 3);
});

Deno.test("Resources.release() leaves out what was released before", async () => {
  const resources = new Resources();
  const log: string[] = [];
  const released = resources.hold("a", release("a", log));
  resources.hold("b", release("b", log));
  released();
  await resources.release();
  assertEquals(log, ["b"]);
});

Deno.test("Resources.release() tries each twice, and goes on behind one that fails", async () => {
  const resources = new Resources();
  const log: string[] = [];
  resources.hold("a", release("a", log));
  resources.hold("b", release("b", log, 1));
  resources.hold("c", release("c", log, 2));
  const [failed, ...more] = await resources.release();
  assertEquals(more, []);
  assertEquals(failed?.what, "c");
  assertEquals(String(failed?.cause), "Error: c is in use");
  assertEquals(log, ["c", "c", "b", "b", "a"]);
  assertEquals(await resources.release(), []);
  assertEquals(log.at(-1), "c");
});
