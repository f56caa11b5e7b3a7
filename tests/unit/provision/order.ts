import { assertEquals, assertStringIncludes } from "@std/assert";
import type { VfioError } from "../../../lib/errors.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore, type Restored } from "../../../lib/provision/restore.ts";
import type { Step } from "../../../lib/provision/steps/step.ts";
import {
  assertAsBefore,
  bench,
  differences,
  LIMITS,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";
import { TAKE_NIC, why } from "./take_steps.ts";

function codes({ left }: Restored): string[] {
  return left.map(({ error }) => (error as VfioError).code);
}

Deno.test("restore() of an earlier apply leaves what a later one has changed again", async () => {
  const power = `/sys/devices/pci0000:00/${NIC}/power/control`;
  const cases: [string, Step, Step][] = [
    ["WRONG_DRIVER", TAKE_NIC, { ...TAKE_NIC, driver: null }],
    ["WRONG_DRIVER", TAKE_NIC, { ...TAKE_NIC, driver: "pci-stub" }],
    [
      "CHANGED",
      { kind: "file", path: LIMITS, text: "a\n", why },
      { kind: "file", path: LIMITS, text: null, why },
    ],
    // The later one changes it back to what it was.
    [
      "CHANGED",
      { kind: "attribute", device: NIC, path: power, value: "on", why },
      { kind: "attribute", device: NIC, path: power, value: "auto", why },
    ],
  ];
  for (const [code, first, second] of cases) {
    const machine = bench();
    const before = stateOf(machine);
    const host = newcomer(machine);
    const earlier = await applySteps(host, [first], { name: "A" });
    await applySteps(host, [second], { name: "B" });
    const after = stateOf(machine);
    const results = [
      await restore(host, { name: "A" }),
      await earlier.restore(),
    ];
    assertEquals(results.map(codes), [[code], [code]], second.kind);
    assertEquals(results.map(({ undone }) => undone), [[], []]);
    const error = results[0]!.left[0]!.error as VfioError;
    assertStringIncludes(error.problem, 'the later apply "B"');
    assertEquals(differences(after, stateOf(machine)), []);
    // In order, everything is undone.
    assertEquals((await restore(host)).left, []);
    assertAsBefore(machine, before);
  }
});

Deno.test("restore() of an earlier apply undoes it when the later one is undone", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC], { name: "A" });
  await applySteps(host, [{ ...TAKE_NIC, driver: null }], { name: "B" });
  assertEquals((await restore(host, { name: "B" })).left, []);
  assertEquals(host.function(NIC).driver, "vfio-pci");
  assertEquals((await restore(host, { name: "A" })).left, []);
  assertAsBefore(machine, before);
});
