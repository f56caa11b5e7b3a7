/**
 * An apply that is killed at any of its kernel calls, and a restore that is
 * killed as well: the next restore brings back exactly the previous state. The
 * same for a state that is applied at boot.
 */
import "../virtual_time.ts";
import { assert, assertEquals } from "@std/assert";
import { applySteps } from "../../lib/provision/make.ts";
import { persist, unpersist } from "../../lib/provision/boot/persist.ts";
import { restore } from "../../lib/provision/restore.ts";
import {
  assertAsBefore,
  bench,
  deathsIn,
  everyStep,
  forEach,
  GPU,
  Mortal,
  newcomer,
  NIC,
  stateOf,
} from "../unit/provision_bench.ts";

/** Waits for the work of a process that ends in the middle of it. */
async function end(process: Mortal, work: Promise<unknown>): Promise<void> {
  await work.catch(() => {});
  assert(process.dead);
}

const apply = (process: Mortal) => applySteps(process.host, everyStep());

Deno.test("restore() brings back exactly the previous state when apply was killed at any call", async () => {
  const before = stateOf(bench());
  await forEach(await deathsIn(apply), async (death) => {
    const machine = bench();
    const process = new Mortal(machine, death);
    await end(process, apply(process));
    const { left } = await restore(newcomer(machine));
    assertEquals(left, []);
    assertAsBefore(machine, before);
  });
});

Deno.test("restore() completes when another restore was killed at any call", async () => {
  const before = stateOf(bench());
  const machine = bench();
  await apply(new Mortal(machine));
  const deaths = await deathsIn(({ host }) => restore(host), machine);
  await forEach(deaths, async (death) => {
    const machine = bench();
    await apply(new Mortal(machine));
    const process = new Mortal(machine, death);
    await end(process, restore(process.host));
    const { left } = await restore(newcomer(machine));
    assertEquals(left, []);
    assertAsBefore(machine, before);
  });
});

Deno.test("restore() completes when the undoing of a failed apply was killed at any call", async () => {
  const steps = [
    ...everyStep(),
    { kind: "driver", device: NIC, driver: "no_such_driver", why: "" } as const,
  ];
  const fail = ({ host }: Mortal) =>
    applySteps(host, steps).then(
      () => Promise.reject(new Error("it did not fail")),
      () => {},
    );
  const before = stateOf(bench());
  const made = new Mortal(bench());
  await apply(made);
  const deaths = await deathsIn(fail);
  await forEach(
    deaths.filter(({ nth }) => nth > made.calls.length),
    async (death) => {
      const machine = bench();
      const process = new Mortal(machine, death);
      await end(process, fail(process));
      const { left } = await restore(newcomer(machine));
      assertEquals(left, []);
      assertAsBefore(machine, before);
    },
  );
});

Deno.test("unpersist() removes everything when persist was killed at any call", async () => {
  const before = stateOf(bench());
  const command = ["/usr/local/bin/passthru"];
  const persistence = ({ host }: Mortal) =>
    persist(
      host,
      { functions: [{ select: GPU, driver: "vfio-pci" }] },
      "desk",
      {
        command,
      },
    );
  await forEach(await deathsIn(persistence), async (death) => {
    const machine = bench();
    const process = new Mortal(machine, death);
    await end(process, persistence(process));
    await unpersist(newcomer(machine), "desk");
    assertAsBefore(machine, before);
  });
});
