import { assertEquals, assertRejects } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { Deadline } from "../../../lib/host/driver/deadline.ts";
import { Host } from "../../../lib/host/host.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";

const A = "0000:01:00.0";

Deno.test("Deadline.wait() throws what makes its error throws when the time is over", async () => {
  const never = new Promise<never>(() => {});
  const error = await assertRejects(() =>
    new Deadline({ timeout: 5 }).wait(never, () => {
      throw new Error("no error could be made");
    })
  );
  assertEquals(String(error), "Error: no error could be made");
});

Deno.test("Deadline.wait() throws the signal's reason when the work fails too", async () => {
  const controller = new AbortController();
  const deadline = new Deadline({ signal: controller.signal });
  controller.abort(new Error("enough"));
  const error = await assertRejects(() =>
    deadline.wait(Promise.reject(new Error("failed")), () => undefined)
  );
  assertEquals(String(error), "Error: enough");
});

Deno.test("Host.take() is rejected when its error for a hanging driver cannot be made", async () => {
  const simulated = simulate({
    functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
  });
  let hangs = false;
  const kernel = intercept(simulated.kernel, ({ method, args }, proceed) => {
    if (method === "writeFileAsync" && String(args[0]).endsWith("/unbind")) {
      hangs = true;
      return new Promise(() => {});
    }
    // ENFILE
    if (hangs && method === "stat") throw new KernelError(23, "statx");
    return proceed();
  });
  const host = new Host({ kernel });
  await assertRejects(() => host.take(A, { timeout: 200, insist: true }));
});

Deno.test("Deadline.until() polls for a tenth of the time at most", async () => {
  const clock = performance.now;
  let polled = 0;
  performance.now = () => clock() + polled;
  try {
    const start = performance.now();
    const deadline = new Deadline({ timeout: 5000 });
    await deadline.until(() => {
      polled += 20;
      return polled < 200 ? undefined : true;
    }, () => new Error("late"));
    assertEquals(performance.now() - start, 200 + 8 * 180 + 250);
  } finally {
    performance.now = clock;
  }
});
