/**
 * Programs that libc runs.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { KernelError } from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";

const kernel = new LibcKernel();

// Its libraries are loaded once, which in a test would look like a leak.
await kernel.runAsync("/bin/true", []);

const shell = (script: string, signal?: AbortSignal) =>
  kernel.runAsync("/bin/sh", ["-c", script], { signal });

Deno.test("LibcKernel.runAsync() returns the status, and what the program wrote", async () => {
  assertEquals(await shell("echo out; echo error >&2; exit 3"), {
    status: 3,
    output: "out\nerror\n",
  });
  assertEquals((await shell("kill -9 $$")).status, 128 + 9);
});

Deno.test("LibcKernel.runAsync() keeps the end of a long output", async () => {
  const { output } = await shell("yes | head -c 100000; echo end");
  assert(output.length < 20_000 && output.endsWith("y\nend\n"));
});

Deno.test("LibcKernel.runAsync() passes on no descriptor, no variable and no ignored signal", async () => {
  const { output } = await shell(
    "ls /proc/self/fd | wc -l; echo $HOME; grep SigIgn /proc/self/status",
  );
  const [descriptors, home, ignored = ""] = output.split("\n");
  // The three standard streams, and the one that ls reads the directory by.
  assertEquals([descriptors, home], ["4", ""]);
  // Two signals are libc's own.
  const mask = BigInt(`0x${ignored.split("\t")[1]}`);
  assertEquals(mask & 0x7fff_ffffn, 0n);
});

Deno.test("LibcKernel.runAsync() throws ENOENT where there is no such program", async () => {
  const error = await assertRejects(
    () => kernel.runAsync("/nonexistent", []),
    KernelError,
  );
  assertEquals(error.code, "ENOENT");
});

Deno.test("LibcKernel.runAsync() asks the program and its children to end when the signal aborts", async () => {
  const stop = new AbortController();
  const file = await Deno.makeTempFile();
  const running = shell(`sleep 100 & echo $! > ${file}; wait`, stop.signal);
  let child = "";
  while (child === "") {
    await new Promise((resolve) => setTimeout(resolve, 5));
    child = (await Deno.readTextFile(file)).trim();
  }
  stop.abort(new Error("enough"));
  await assertRejects(() => running, Error, "enough");
  for (;;) {
    const state = await Deno.readTextFile(`/proc/${child}/stat`)
      .catch(() => "");
    if (state === "" || / Z /.test(state)) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Deno.remove(file);
});
