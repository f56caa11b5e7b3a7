import { assertEquals, assertRejects } from "@std/assert";
import { Progress } from "./progress.ts";

/** Progress on a screen of some columns, and all that is written to it. */
function shown(terminal: boolean, columns = 60) {
  const written: string[] = [];
  const progress = new Progress({
    terminal,
    columns: () => columns,
    write: (text) => written.push(text.replaceAll(/\d+\.\d s/g, "0 s")),
    print: (line) => written.push(`out: ${line}\n`),
  });
  return { progress, written };
}

const never = () => new Promise<never>(() => {});

Deno.test("Progress.step() prints two lines when there is no terminal", async () => {
  const { progress, written } = shown(false);
  const result = await progress.step("Building", "long", async (detail) => {
    for (let percent = 0; percent < 100; percent++) {
      detail(`${percent}%`);
      await Promise.resolve();
    }
    return "built";
  });
  assertEquals(result, "built");
  assertEquals(written, ["Building (long)\n", "  done in 0 s\n"]);
});

Deno.test("Progress.step() sets no timer when there is no terminal", () => {
  const { progress } = shown(false);
  // A timer that is left behind fails this test.
  void progress.step("Building", "long", never);
});

Deno.test("Progress.step() names the work when other lines came between", async () => {
  const { progress, written } = shown(false);
  const fetched = Promise.withResolvers<void>();
  const building = progress.step("Building", "long", () => fetched.promise);
  await progress.step("Fetching", "short", () => Promise.resolve());
  progress.print("attached");
  fetched.resolve();
  await building;
  assertEquals(written, [
    "Building (long)\n",
    "Fetching (short)\n",
    "  done in 0 s\n",
    "out: attached\n",
    "  Building: done in 0 s\n",
  ]);
});

Deno.test("Progress.step() prints the failure and throws when the work fails", async () => {
  const { progress, written } = shown(false);
  const error = new Error("no space");
  const failing = progress.step(
    "Building",
    "long",
    () => Promise.reject(error),
  );
  assertEquals(await assertRejects(() => failing), error);
  assertEquals(written.at(-1), "  failed after 0 s\n");
});

Deno.test("Progress.print() keeps the line of progress below all others", async () => {
  const { progress, written } = shown(true, 40);
  const done = Promise.withResolvers<void>();
  const building = progress.step("Building from source", "long", (detail) => {
    detail("41% a file with a long name");
    return done.promise;
  });
  progress.print("attached");
  progress.note("a notice");
  done.resolve();
  await building;
  const clear = "\r\x1b[K";
  assertEquals(written, [
    "Building from source (long)\n",
    `${clear}  0 s  `,
    clear,
    "out: attached\n",
    `${clear}  Building from so…: 0 s  41% a file `,
    clear,
    "a notice\n",
    `${clear}  Building from so…: 0 s  41% a file `,
    clear,
    "  Building from source: done in 0 s\n",
  ]);
});
