/** Virtual functions that the kernel would not make. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { simulate } from "../../../lib/sim/host.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { contradicted, planned, refused } from "../planned.ts";
import { nic, PF, vfs } from "./virtual_bench.ts";

Deno.test("plan() throws NOT_SUPPORTED when there are too few buses", () => {
  const high = "0000:fe:00.0";
  const host = {
    functions: {
      [high]: {
        ...nic().functions![PF]!,
        driver: "i40e",
        sriov: { total: 64, id: "8086:10ca", offset: 256, stride: 8 },
      },
    },
  };
  const state = (count: number) => ({
    functions: [{
      select: high,
      virtualFunctions: { count, driver: "vfio-pci" },
    }],
  });
  assertEquals(
    planned(host, state(32)).at(-1),
    "0000:ff:1f.0: driver vfio-pci",
  );
  const error = refused("NOT_SUPPORTED", host, state(33));
  assertEquals(error.device, high);
  assertStringIncludes(
    error.problem,
    "its virtual function 32 would be on bus 0x100, " +
      "and its bridge leads to buses up to 0xff",
  );
});

Deno.test("plan() throws NOT_SUPPORTED when the bridge leads to fewer buses", () => {
  const behind = (bridge: Partial<FunctionTopology>, commandLine = "quiet") => {
    const { functions } = nic({ offset: 252, stride: 2 });
    const port = { id: "8086:a110", class: 0x060400, ...bridge };
    return {
      kernel: { commandLine },
      functions: { ...functions, "0000:00:01.0": port },
    };
  };
  const error = (host: Topology, count = 3) =>
    refused("NOT_SUPPORTED", host, vfs({ count, driver: null }));
  assertEquals(planned(behind({}), vfs({ count: 3, driver: null })).length, 2);
  const { problem, hint } = error(behind({ lastBus: 1 }));
  assertEquals(
    problem,
    "its virtual function 2 would be on bus 0x02, and its bridge leads to " +
      "buses up to 0x01",
  );
  assertEquals(hint, "ask for 2 at most, or boot with pci=assign-busses");
  assertStringIncludes(
    error(behind({ lastBus: 1, ari: false })).hint!,
    "behind a port that forwards ARI",
  );
  assertStringIncludes(
    error(behind({ lastBus: 1 }, "pci=realloc,noari")).hint!,
    "remove noari of pci=realloc,noari from the kernel's command line",
  );
});

Deno.test("plan() throws NOT_SUPPORTED when a device number is not reached without ARI", () => {
  const { functions } = nic({ offset: 6, stride: 1 });
  const port = { id: "8086:a110", class: 0x060400, ari: false };
  const host = { functions: { ...functions, "0000:00:01.0": port } };
  const error = refused("NOT_SUPPORTED", host, vfs({ count: 3, driver: null }));
  assertEquals(
    error.problem,
    "its virtual function 2 would be device 0x01 of its bus, and the port " +
      "above reaches device 0x00 only, as ARI is off",
  );
  assertEquals(
    error.hint,
    "ask for 2 at most, or put the card behind a port that forwards ARI",
  );
  assertEquals(planned(host, vfs({ count: 2, driver: null })).length, 2);
});

Deno.test("plan() throws NOT_SUPPORTED when the next bus is another bridge's", () => {
  const { functions } = nic({ offset: 256 });
  const other = { id: "8086:10d3", behind: "0000:00:02.0" };
  const host = { functions: { ...functions, "0000:02:00.0": other } };
  assertStringIncludes(
    refused("NOT_SUPPORTED", host, vfs({ count: 1, driver: null })).problem,
    "its bridge leads to buses up to 0x01",
  );
});

Deno.test("plan() throws when the driver makes none, or fewer", () => {
  const host = (driver: string): Topology => ({
    functions: {
      ...nic({ total: 64 }, { driver }).functions,
      "0000:00:1f.0": { id: "8086:1521", driver: "igb" },
    },
  });
  const error = refused("NOT_SUPPORTED", host("pci-stub"), {
    functions: [{ select: PF, driver: "igb", virtualFunctions: { count: 8 } }],
  });
  assertEquals(
    error.problem,
    "it can have 7 virtual functions with the driver igb, and 8 are wanted",
  );
  const state = vfs({ count: 2, driver: null });
  assertEquals(
    refused("DRIVER_FAILED", host("mlx4_core"), state).problem,
    "mlx4_core makes no virtual functions when it is asked to",
  );
});

Deno.test("apply() throws DRIVER_FAILED when the kernel says that a driver makes none", async () => {
  const host = simulate({
    ...nic({}, { driver: "other" }),
    drivers: { other: { virtualFunctions: "none" } },
  });
  const error = await assertRejects(
    () => apply(host, vfs({ count: 2, driver: null })),
    VfioError,
  );
  assertEquals(error.code, "DRIVER_FAILED");
  assertStringIncludes(error.hint!, "modinfo other");
});

Deno.test("plan() throws NOT_SUPPORTED when another function has the address", () => {
  const { functions } = nic({ offset: 256 });
  const other = { id: "8086:10d3", behind: "0000:01:00.1" };
  const bridge = {
    id: "8086:a110",
    class: 0x060400,
    behind: "0000:00:01.0",
  };
  const host = {
    functions: {
      ...functions,
      "0000:01:00.1": bridge,
      "0000:02:00.2": other,
    },
  };
  assertEquals(planned(host, vfs({ count: 1, driver: null })).length, 2);
  assertEquals(
    refused("NOT_SUPPORTED", host, vfs({ count: 2, driver: null })).problem,
    "its virtual function 1 would be at 0000:02:00.2, where another function " +
      "is",
  );
});

Deno.test("plan() throws NOT_SUPPORTED when the hardware does not say where they will be", () => {
  const host = nic({ offset: 0 });
  refused("NOT_SUPPORTED", host, vfs({ count: 1, driver: "vfio-pci" }));
  // Only their number can be set.
  assertEquals(planned(host, vfs({ count: 1 })), [
    `${PF}: 1 virtual function`,
  ]);
});

Deno.test("plan() throws NOT_SUPPORTED when the card has fewer virtual functions", () => {
  assertEquals(
    refused("NOT_SUPPORTED", nic(), vfs({ count: 8 })).problem,
    "it can have 7 virtual functions with the driver igb, and 8 are wanted",
  );
  const plain = { functions: { [PF]: { id: "8086:10d3", driver: "e1000e" } } };
  assertEquals(
    refused("NOT_SUPPORTED", plain, vfs({ count: 1 })).problem,
    "it can have no virtual functions",
  );
  assertEquals(planned(plain, vfs({ count: 0 })), []);
  const error = refused("NOT_SUPPORTED", nic({ enabled: 1 }), {
    functions: [{ select: "0000:01:10.0", virtualFunctions: { count: 1 } }],
  });
  assertEquals(error.hint, "it is a virtual function itself");
});

Deno.test("plan() throws when an override is for a number without a virtual function", () => {
  assertEquals(
    contradicted(nic(), vfs({ count: 2, overrides: { "2": {} } })),
    "functions[0].virtualFunctions.overrides: expected numbers below the " +
      "count of 2, got 2",
  );
});

Deno.test("plan() throws DRIVER_FAILED when no driver can create virtual functions", () => {
  for (
    const [host, state] of [
      [nic({}, { driver: null }), vfs({ count: 1 })],
      [nic(), vfs({ count: 1 }, { driver: null })],
    ] as const
  ) {
    assertEquals(
      refused("DRIVER_FAILED", host, state).problem,
      "no driver has it, and only its driver makes virtual functions",
    );
  }
});

Deno.test("plan() throws DRIVER_FAILED when virtual functions would be removed with their driver", () => {
  const error = refused("DRIVER_FAILED", nic({ enabled: 2 }), {
    functions: [{ select: PF, driver: "vfio-pci" }],
  });
  assertEquals(
    error.problem,
    "it has 2 virtual functions, which its driver would remove (functions[0])",
  );
});
