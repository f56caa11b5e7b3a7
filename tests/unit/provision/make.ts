import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { SimulatedHost } from "../../../lib/sim/host.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { allJournals } from "../../../lib/provision/journal/journals.ts";
import { applySteps, type StepEvent } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  everyStep,
  journalsOf,
  newcomer,
  NIC,
  PHYSICAL,
  stateOf,
} from "../provision_bench.ts";
import { lettingGoAfter, TAKE_DISK, TAKE_NIC } from "./take_steps.ts";

Deno.test("applySteps() is undone at the end of an await using block", async () => {
  const machine = bench();
  const before = stateOf(machine);
  {
    await using applied = await applySteps(newcomer(machine), everyStep());
    assertEquals(applied.steps.length, everyStep().length);
    assertEquals(journalsOf(machine).length, 2);
  }
  assertAsBefore(machine, before);
});

Deno.test("applySteps() writes each step to the journal before it is made", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const { steps } = await applySteps(host, everyStep(), {
    onStep({ step, phase }) {
      const written = allJournals(host.kernel).flatMap(({ entries }) => [
        ...entries,
      ]).find((entry) =>
        entry !== undefined && JSON.stringify(entry.step) ===
          JSON.stringify(step)
      );
      assertEquals(written?.made, phase === "made");
    },
  });
  assertEquals(steps.length, everyStep().length);
});

Deno.test("applySteps() undoes in reverse order, and reports that, when a step fails", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const events: StepEvent[] = [];
  const error = await refused("DRIVER_FAILED", () =>
    applySteps(
      newcomer(machine),
      [...everyStep(), { ...TAKE_NIC, driver: "no_such_driver" }],
      { onStep: (event) => events.push(event) },
    ));
  assertEquals(error.device, NIC);
  assertStringIncludes(error.message, "all earlier changes are undone");
  assertEquals(error.hint, "modprobe no_such_driver");
  assertAsBefore(machine, before);
  const undone = events.filter(({ phase }) => phase === "undone");
  assertEquals(undone.length, everyStep().length + 1);
  // the last first, except for those that are undone at once
  const kinds = undone.map(({ step: { kind } }) => kind);
  assertEquals(kinds.at(0), "driver");
  assertEquals(kinds.slice(1, 7), [
    "handoff",
    "link",
    "file",
    "file",
    "node",
    "mediated device",
  ]);
  assertEquals(kinds.slice(-5), [
    "virtual functions",
    "attribute",
    "rom",
    "configuration",
    "module",
  ]);
});

Deno.test("applySteps() undoes everything when the signal is aborted", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const reason = new Error("enough");
  const controller = new AbortController();
  const error = await assertRejects(() =>
    applySteps(newcomer(machine), everyStep(), {
      signal: controller.signal,
      onStep({ step, phase }) {
        if (step.kind === "node" && phase === "made") controller.abort(reason);
      },
    })
  );
  assertEquals(error, reason);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() throws TIMED_OUT when a driver does not let go, and is undone when it does", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = lettingGoAfter(machine.spawn(), promise);
  setTimeout(resolve, 150);
  const error = await refused(
    "TIMED_OUT",
    () =>
      applySteps(new Host({ kernel: slow }), [TAKE_NIC, TAKE_DISK], {
        timeout: 50,
      }),
  );
  assertEquals(error.device, DISK);
  assertStringIncludes(error.message, "all earlier changes are undone");
  assertAsBefore(machine, before);
});

Deno.test("applySteps() moves eight functions at a time when their groups differ", async () => {
  const machine = bench({
    functions: {
      [PHYSICAL]: {
        id: "8086:10c9",
        driver: "igb",
        sriov: { total: 32, enabled: 32, id: "8086:10ca", driver: "igbvf" },
      },
    },
  });
  const before = stateOf(machine);
  let writing = 0;
  let most = 0;
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    const [path] = args;
    if (method !== "writeFileAsync" || !String(path).endsWith("/bind")) {
      return proceed();
    }
    most = Math.max(most, ++writing);
    return (proceed() as Promise<void>).finally(() => writing--);
  });
  const host = new Host({ kernel });
  const steps = host.function(PHYSICAL).virtualFunctions.map((
    { address },
  ) => ({ ...TAKE_NIC, device: address } as const));
  const applied = await applySteps(host, steps);
  assertEquals(applied.steps.length, 32);
  assertEquals(most, 8);
  most = 0;
  await applied.restore();
  assertEquals(most, 8);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() moves functions one after the other when they are in one group", async () => {
  const other = "0000:00:08.1";
  const machine = bench({
    functions: {
      [NIC]: { id: "8086:10d3", driver: "e1000e", group: 9 },
      [other]: { id: "8086:10d3", driver: "e1000e", group: 9 },
    },
  });
  const phases: string[] = [];
  await applySteps(newcomer(machine), [
    TAKE_NIC,
    { ...TAKE_NIC, device: other },
  ], { onStep: ({ phase }) => phases.push(phase) });
  assertEquals(phases, ["begun", "made", "begun", "made"]);
});

Deno.test("applySteps() throws RESTORE_INCOMPLETE when it cannot be undone, and restore() completes it", async () => {
  const machine = bench();
  const before = stateOf(machine);
  let broken = false;
  const kernel = intercept(machine.spawn(), (call, proceed) => {
    const path = String(call.args[0]);
    if (broken && path.endsWith("nvme/bind")) {
      return machine.spawn().writeFileAsync(path, "no such function");
    }
    return proceed();
  });
  const error = await refused("RESTORE_INCOMPLETE", () =>
    applySteps(
      new Host({ kernel }),
      [TAKE_DISK, { ...TAKE_NIC, driver: "no_such_driver" }],
      { onStep: ({ phase }) => void (broken ||= phase === "made") },
    ));
  assertStringIncludes(error.message, "no_such_driver is not loaded");
  assertStringIncludes(error.message, "nvme did not take it");
  assertStringIncludes(error.hint!, "restore");
  assertInstanceOf(error.cause, AggregateError);
  assertEquals(error.cause.errors.length, 2);
  const { undone, left } = await restore(newcomer(machine));
  assertEquals(left, []);
  assertEquals(undone, [TAKE_DISK]);
  assertAsBefore(machine, before);
});

Deno.test("applySteps() throws PERMISSION_DENIED and changes nothing when the user is not root", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = new SimulatedHost(machine, { uid: 1000 });
  await refused("PERMISSION_DENIED", () => applySteps(host, [TAKE_NIC]));
  assertAsBefore(machine, before);
});
