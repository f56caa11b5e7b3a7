import { assertEquals } from "@std/assert";
import { deno } from "../../scripts/dev/deno.ts";

/** A process that ends while it makes an entry of the cache. */
const ENDING = `
import { cached } from "${import.meta.resolve("./cache.ts")}";
import { endCommands, IN_BACKGROUND, run } from "${
  import.meta.resolve("./command.ts")
}";

const onLine = () => endCommands(new Error("it is to end"));
const print = (error) => console.log(error.message);
await cached("kernels/entry", async (dir) => {
  await Deno.mkdir(dir);
  // Like make: its child outlives it, and keeps its output open.
  const script = "sh -c 'echo begun; sleep 1000' & wait";
  await run([...IN_BACKGROUND, "sh", "-c", script], { onLine });
}).catch(print);
await run(["true"]).catch(print);
`;

Deno.test("endCommands() leaves nothing of a cache entry when it ends the command that makes it", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const command = await deno("eval", [ENDING], {
      stdout: "piped",
      env: { XDG_CACHE_HOME: dir },
    });
    const { code, stdout } = await command.output();
    assertEquals([code, new TextDecoder().decode(stdout)], [
      0,
      "it is to end\nit is to end\n",
    ]);
    const left = await Array.fromAsync(Deno.readDir(`${dir}/passthru/kernels`));
    assertEquals(left, []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
