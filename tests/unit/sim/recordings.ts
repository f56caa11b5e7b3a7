/**
 * Simulations of recorded machines: changes are applied and undone.
 * `cloud.json` is a virtual machine of a cloud, without an IOMMU; the others
 * are machines of `tests/vm/`. `listings.ts` has the published machines.
 */
import { simulate } from "../../../lib/sim/mod.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import {
  apply,
  type DesiredState,
  pinOf,
  plan,
} from "../../../lib/provision/mod.ts";
import { isEndpointClass } from "../../../lib/host/pci/endpoint.ts";
import { diagnose } from "../../../lib/doctor/mod.ts";
import type { Topology } from "../../../lib/sim/mod.ts";
import cloud from "../../recordings/cloud.json" with { type: "json" };
import testbed from "../../recordings/testbed.json" with { type: "json" };
import sriov from "../../recordings/testbed_sriov.json" with { type: "json" };

const RECORDINGS: Readonly<Record<string, Topology>> = {
  cloud: cloud as Topology,
  testbed: testbed as Topology,
  "testbed-sriov": sriov as Topology,
};

for (const [name, recording] of Object.entries(RECORDINGS)) {
  Deno.test(`Host.snapshot() returns the recording when ${name} is simulated`, async () => {
    assertEquals(await simulate(recording).snapshot(), recording);
  });

  Deno.test(`apply() takes every endpoint of ${name} with its group, and restores it`, async () => {
    const host = simulate(recording);
    let taken = 0;
    for (const fn of host.functions()) {
      const state: DesiredState = {
        functions: [{
          select: fn.address,
          pin: pinOf(fn),
          driver: "vfio-pci",
          group: "all endpoints",
        }],
      };
      if (fn.iommuGroup === undefined || !isEndpointClass(fn.class)) {
        const error = assertThrows(() => plan(host, state), VfioError);
        assert(["DRIVER_FAILED", "NO_IOMMU_GROUP"].includes(error.code));
        continue;
      }
      {
        await using _ = await apply(host, state);
        assertEquals(fn.driver, "vfio-pci");
        assertEquals(fn.iommuGroup.viability(), { viable: true });
        assertEquals(plan(host, state).steps, []);
        taken++;
      }
    }
    assertEquals(await host.snapshot(), recording);
    assertEquals(taken === 0, recording.iommu === "none");
  });
}

Deno.test("apply() creates all virtual functions of testbed-sriov, and removes them again", async () => {
  const host = simulate(sriov as Topology);
  const physical = Object.entries((sriov as Topology).functions!)
    .flatMap(([select, { sriov }]) =>
      sriov === undefined ? [] : { select, count: sriov.total }
    );
  const functions = physical.map(({ select, count }) => ({
    select,
    virtualFunctions: { count, driver: "vfio-pci" },
  }));
  {
    await using _ = await apply(host, { functions });
    const made = physical.flatMap(({ select }) =>
      host.function(select).virtualFunctions
    );
    assertEquals(made.length, 39);
    assert(made.every(({ driver }) => driver === "vfio-pci"));
  }
  assertEquals(await host.snapshot(), sriov as Topology);
});

Deno.test("diagnose() finds whether the recorded machines are fit", () => {
  const verdicts = Object.entries(RECORDINGS).map(([name, recording]) => [
    name,
    diagnose(simulate(recording)).fit,
  ]);
  assertEquals(Object.fromEntries(verdicts), {
    cloud: false,
    testbed: true,
    "testbed-sriov": true,
  });
});
