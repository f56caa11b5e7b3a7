import { assertEquals, assertRejects } from "@std/assert";
import { cached } from "./cache.ts";

/** Runs `work` with an empty cache. */
async function withCache(work: () => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CACHE_HOME");
  const dir = await Deno.makeTempDir();
  Deno.env.set("XDG_CACHE_HOME", dir);
  try {
    await work();
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("cached() makes an entry once when a process wants it twice", async () => {
  await withCache(async () => {
    let times = 0;
    const make = async (path: string) => {
      await Deno.writeTextFile(path, `${++times}`);
    };
    const paths = await Promise.all([cached("a", make), cached("a", make)]);
    assertEquals(paths[0], paths[1]);
    assertEquals(await Deno.readTextFile(paths[0]!), "1");
  });
});

Deno.test("cached() makes an entry when the attempt that it waited for failed", async () => {
  await withCache(async () => {
    const making = Promise.withResolvers<void>();
    const full = Promise.withResolvers<void>();
    const failing = cached("a", () => {
      making.resolve();
      return full.promise;
    });
    await making.promise;
    const second = cached("a", (path) => Deno.writeTextFile(path, "made"));
    full.reject(new Error("no space"));
    await assertRejects(() => failing, Error, "no space");
    assertEquals(await Deno.readTextFile(await second), "made");
  });
});
