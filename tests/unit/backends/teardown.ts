import { assertEquals } from "@std/assert";
import { ignoreErrors } from "../../../backends/teardown.ts";

Deno.test("ignoreErrors() returns the result of a step, and undefined when that fails", async () => {
  const error = new Error("refused");
  const fail = () => {
    throw error;
  };
  assertEquals(ignoreErrors(() => 5), 5);
  assertEquals(ignoreErrors(fail), undefined);
  assertEquals(await ignoreErrors(() => Promise.resolve(5)), 5 as unknown);
  assertEquals(
    await ignoreErrors(() => Promise.reject(error)),
    undefined,
  );
});
