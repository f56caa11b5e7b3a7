/**
 * The order of the demo's parts, without a machine.
 */
import { assertEquals, assertRejects } from "@std/assert";
import {
  inMachine,
  inMachines,
  type Stage,
} from "../../../scripts/demo/order.ts";
import { machineNamed } from "../../vm/machines.ts";

/** A stage on which the build of the kernel with iommufd ends with `built`. */
function stage({ cached = [], built, code = 0 }: {
  cached?: string[];
  built?: Promise<void>;
  code?: number;
} = {}): { stage: Stage; events: string[] } {
  const events: string[] = [];
  return {
    events,
    stage: {
      hasKernel: ({ name }) => Promise.resolve(cached.includes(name)),
      async ready({ name }) {
        events.push(`${name} begun`);
        if (name === "testbed" && !cached.includes(name)) await built;
        events.push(`${name} ready`);
      },
      show({ name }, part, backend) {
        events.push(`${name} shown: ${part} by ${backend ?? "all"}`);
        return Promise.resolve(code);
      },
      end: () => void events.push("ended"),
      print: () => {},
    },
  };
}

const FIRST = [
  "testbed begun",
  "debian-6.1 begun",
  "debian-6.1 ready",
  "debian-6.1 shown: story by legacy",
];

Deno.test("inMachines() shows a kernel of Debian while the other is built", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { stage: fresh, events } = stage({ built: promise });
  fresh.print = () => resolve(); // the first part has ended
  assertEquals(await inMachines(fresh), 0);
  assertEquals(events, [
    ...FIRST,
    "testbed ready",
    "testbed shown: whole by all",
  ]);
});

Deno.test("inMachines() shows only the kernel with iommufd when that is built already", async () => {
  const { stage: warm, events } = stage({ cached: ["testbed"] });
  assertEquals(await inMachines(warm), 0);
  assertEquals(events, [
    "testbed begun",
    "testbed ready",
    "testbed shown: whole by all",
  ]);
});

Deno.test("inMachines() builds nothing when only legacy is asked for", async () => {
  const { stage: fresh, events } = stage();
  assertEquals(await inMachines(fresh, "legacy"), 0);
  assertEquals(events.at(-1), "debian-6.1 shown: whole by legacy");
  assertEquals(events.includes("testbed begun"), false);
});

Deno.test("inMachines() shows no kernel of Debian when only iommufd is asked for", async () => {
  const { stage: fresh, events } = stage();
  assertEquals(await inMachines(fresh, "iommufd"), 0);
  assertEquals(events.at(-1), "testbed shown: whole by iommufd");
  assertEquals(events.includes("debian-6.1 begun"), false);
});

Deno.test("inMachines() throws the error of the build after it has shown Debian's kernel", async () => {
  const { stage: fresh, events } = stage({
    built: Promise.reject(new Error("no bison")),
  });
  await assertRejects(() => inMachines(fresh), Error, "no bison");
  assertEquals(events, FIRST);
});

Deno.test("inMachines() aborts the build when Debian's kernel fails", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const { stage: fresh, events } = stage({ built: promise, code: 1 });
  const end = fresh.end;
  fresh.end = () => {
    end();
    reject(new Error("ended"));
  };
  await assertRejects(() => inMachines(fresh), Error, "failed in debian-6.1");
  assertEquals(events, [...FIRST, "ended"]);
});

Deno.test("inMachine() shows the whole in one machine", async () => {
  const { stage: fresh, events } = stage();
  const machine = machineNamed("debian-6.12");
  assertEquals(await inMachine(fresh, machine), 0);
  assertEquals(events, [
    "debian-6.12 begun",
    "debian-6.12 ready",
    "debian-6.12 shown: whole by all",
  ]);
});
