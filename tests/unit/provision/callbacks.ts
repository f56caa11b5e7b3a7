import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import type { Step } from "../../../lib/provision/steps/step.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  everyStep,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";
import { TAKE_DISK, TAKE_NIC, why } from "./take_steps.ts";

const FAILING: Step = { ...TAKE_NIC, driver: "no_such_driver" };

function gone(): never {
  throw new Error("EPIPE");
}

Deno.test("applySteps() undoes everything and throws the step's error when onStep throws meanwhile", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const error = await refused(
    "DRIVER_FAILED",
    () =>
      applySteps(newcomer(machine), [...everyStep(), FAILING], {
        onStep: ({ phase }) => phase === "undone" ? gone() : undefined,
      }),
  );
  assertEquals(error.device, NIC);
  assertStringIncludes(error.message, "all earlier changes are undone");
  assertStringIncludes(error.message, "onStep threw: Error: EPIPE");
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 1 + everyStep().length + 1);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() undoes everything and throws what onStep throws when a step is begun or made", async () => {
  for (const at of ["begun", "made"]) {
    const machine = bench();
    const before = stateOf(machine);
    const error = await assertRejects(() =>
      applySteps(newcomer(machine), everyStep(), {
        onStep: ({ phase, step }) =>
          phase === at && step.kind === "link" || phase === "undone"
            ? gone()
            : undefined,
      })
    );
    assertEquals(String(error), "Error: EPIPE");
    assertAsBefore(machine, before);
  }
});

Deno.test("restore() undoes everything and throws what onUndone threw at the end", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_DISK]);
  await applySteps(host, everyStep().filter(({ device }) => device !== DISK));
  const error = await assertRejects(() => restore(host, { onUndone: gone }));
  assertEquals(String(error), "Error: EPIPE");
  assertAsBefore(machine, before);
});

Deno.test("restore() throws RESTORE_INCOMPLETE when onUndone throws and a step is left", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC, TAKE_DISK]);
  const other = newcomer(machine).kernel;
  other.writeFile(`${host.function(NIC).path}/driver_override`, "pci-stub");
  other.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", NIC);
  other.writeFile("/sys/bus/pci/drivers/pci-stub/bind", NIC);
  const error = await refused(
    "RESTORE_INCOMPLETE",
    () => restore(host, { onUndone: gone }),
  );
  assertInstanceOf(error.cause, AggregateError);
  const [left, thrown] = error.cause.errors;
  assertEquals(left.code, "WRONG_DRIVER");
  assertEquals(thrown.message, "EPIPE");
  assertEquals(host.function(DISK).driver, "nvme");
});

Deno.test("applySteps() and restore() let timers run between steps that never wait", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const files = Array.from({ length: 50 }, (_, i): Step => ({
    kind: "file",
    path: `/etc/${i}.conf`,
    text: "x\n",
    why,
  }));
  let done = 0;
  let heardAt: number | undefined;
  const hear = () => void (heardAt = done);
  setTimeout(hear);
  const count = () => void done++;
  await applySteps(host, files, { onStep: count });
  assert(heardAt !== undefined && heardAt < 20, `${heardAt}`);
  done = 0;
  heardAt = undefined;
  setTimeout(hear);
  await restore(host, { onUndone: count });
  assertEquals(done, 50);
  assert(heardAt !== undefined && heardAt < 10, `${heardAt}`);
});

Deno.test("applySteps() stops between steps that never wait when a timer aborts the signal", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("enough")));
  const files = Array.from({ length: 50 }, (_, i): Step => ({
    kind: "file",
    path: `/etc/${i}.conf`,
    text: "x\n",
    why,
  }));
  const error = await assertRejects(() =>
    applySteps(newcomer(machine), files, { signal: controller.signal })
  );
  assertEquals(String(error), "Error: enough");
  assertAsBefore(machine, before);
});
