import { assertEquals } from "@std/assert";
import type { Counts } from "../../scripts/dev/outcome.ts";
import { denoTest } from "../../scripts/dev/test_run.ts";

/** Runs a test file with this text, and returns the outcome. */
async function outcome(source: string): Promise<Counts> {
  const file = await Deno.makeTempFile({ suffix: "_test.ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { times: _, ...counts } = await denoTest([file], {
      stdout: "null",
      stderr: "null",
    });
    return counts;
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("denoTest() counts what Deno reports when tests pass, fail and are ignored", async () => {
  assertEquals(
    await outcome(`
      Deno.test("passes", () => {});
      Deno.test('<testsuite tests="9" failures="9">', () => {});
      Deno.test("fails", () => { throw new Error('</testsuites>'); });
      Deno.test.ignore("is ignored", () => {});
      Deno.test("has steps", async (t) => {
        await t.step("passes", () => {});
        await t.step({ name: "is ignored", ignore: true, fn() {} });
      });
    `),
    { passed: 4, failed: 1, ignored: 2 },
  );
});

Deno.test("denoTest() counts one failure when a module does not load", async () => {
  assertEquals(
    await outcome(`import "./missing.ts"; Deno.test("never", () => {});`),
    { passed: 0, failed: 1, ignored: 0 },
  );
});

Deno.test("denoTest() counts one failure when a module throws", async () => {
  assertEquals(
    await outcome(`Deno.test("never", () => {}); throw new Error();`),
    { passed: 0, failed: 1, ignored: 0 },
  );
});

Deno.test("denoTest() grants no permission when none is given", async () => {
  assertEquals(
    await outcome(`
      Deno.test("reads", () => void Deno.readTextFileSync("/etc/hostname"));
      Deno.test("runs", () => void new Deno.Command("true").outputSync());
    `),
    { passed: 0, failed: 2, ignored: 0 },
  );
});

Deno.test("denoTest() fails a test when it leaks", async () => {
  assertEquals(
    await outcome(`
      Deno.test("an op", () => void setTimeout(() => {}, 1e6));
      Deno.test("a resource", () => void Deno.addSignalListener("SIGUSR1", () => {}));
      Deno.test("nothing", () => {});
    `),
    { passed: 1, failed: 2, ignored: 0 },
  );
});
