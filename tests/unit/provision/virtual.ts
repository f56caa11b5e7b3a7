/** Virtual functions that are made, kept and removed. */
import { assertEquals } from "@std/assert";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { simulate } from "../../../lib/sim/host.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { contradicted, planned, refused, settled } from "../planned.ts";
import { AUTOPROBE, nic, PF, vfs } from "./virtual_bench.ts";

Deno.test("plan() creates virtual functions, and leaves them to the host's drivers when none is given", async () => {
  const state = vfs({ count: 3 });
  assertEquals(planned(nic(), state), [`${PF}: 3 virtual functions`]);
  const host = await settled(nic(), state);
  assertEquals(
    host.function(PF).virtualFunctions.map(({ driver }) => driver),
    ["igbvf", "igbvf", "igbvf"],
  );
});

Deno.test("plan() keeps the host's drivers from virtual functions when they get a VFIO driver", async () => {
  const state = vfs({ count: 2, driver: "vfio-pci" });
  assertEquals(planned(nic(), state), [
    AUTOPROBE,
    `${PF}: 2 virtual functions`,
    "0000:01:10.0: driver vfio-pci",
    "0000:01:10.2: driver vfio-pci",
  ]);
  const host = await settled(nic(), state);
  assertEquals(
    host.function(PF).virtualFunctions.map(({ driver }) => driver),
    ["vfio-pci", "vfio-pci"],
  );
  // Automatic probing is off already.
  assertEquals(
    planned(nic({ autoprobe: false }), state)[0],
    [
      `${PF}: 2 virtual functions`,
    ][0],
  );
});

Deno.test("plan() follows the overrides of single virtual functions", async () => {
  const state = vfs({
    count: 4,
    driver: "vfio-pci",
    overrides: { "1": { driver: null }, "2": { driver: "igbvf" } },
  });
  assertEquals(planned(nic(), state), [
    AUTOPROBE,
    `${PF}: 4 virtual functions`,
    "0000:01:10.0: driver vfio-pci",
    "0000:01:10.4: driver igbvf",
    "0000:01:10.6: driver vfio-pci",
  ]);
  const host = await settled(nic(), state);
  assertEquals(
    host.function(PF).virtualFunctions.map(({ driver }) => driver),
    ["vfio-pci", undefined, "igbvf", "vfio-pci"],
  );
});

Deno.test("plan() keeps automatic probing when any driver may take some of them", async () => {
  const state = vfs({
    count: 2,
    overrides: { "0": { driver: "vfio-pci" } },
  });
  assertEquals(planned(nic(), state), [
    `${PF}: 2 virtual functions`,
    "0000:01:10.0: driver vfio-pci",
  ]);
  const host = await settled(nic(), state);
  assertEquals(
    host.function(PF).virtualFunctions.map(({ driver }) => driver),
    ["vfio-pci", "igbvf"],
  );
});

Deno.test("plan() keeps automatic probing when all are for the host", async () => {
  const state = vfs({ count: 1, driver: "igbvf" });
  assertEquals(planned(nic(), state), [
    `${PF}: 1 virtual function`,
    "0000:01:10.0: driver igbvf",
  ]);
  await settled(nic(), state);
});

Deno.test("plan() unbinds a virtual function when it should have no driver and the others any", async () => {
  const state = vfs({ count: 2, overrides: { "0": { driver: null } } });
  assertEquals(planned(nic(), state), [
    `${PF}: 2 virtual functions`,
    "0000:01:10.0: no driver",
  ]);
  const host = await settled(nic(), state);
  assertEquals(host.function("0000:01:10.0").driver, undefined);
});

Deno.test("plan() changes only what differs when the virtual functions exist", () => {
  const host = nic({ enabled: 2 });
  assertEquals(planned(host, vfs({ count: 2 })), []);
  assertEquals(planned(host, vfs({ count: 2, driver: "igbvf" })), []);
  assertEquals(
    planned(
      host,
      vfs({
        count: 2,
        driver: "igbvf",
        overrides: { "1": { driver: "vfio-pci" } },
      }),
    ),
    ["0000:01:10.2: driver vfio-pci"],
  );
});

Deno.test("plan() removes all virtual functions first when the number changes", async () => {
  const host = nic({ enabled: 2 });
  for (const count of [1, 3]) {
    const state = vfs({ count, driver: "vfio-pci" });
    assertEquals(planned(host, state).slice(0, 3), [
      `${PF}: no virtual functions`,
      AUTOPROBE,
      `${PF}: ${count} virtual function${count === 1 ? "" : "s"}`,
    ]);
    await settled(host, state);
  }
  assertEquals(planned(host, vfs({ count: 0 })), [
    `${PF}: no virtual functions`,
  ]);
});

Deno.test("plan() computes the kernel's addresses when virtual functions are on other buses", async () => {
  // Like a card with many virtual functions, which need further buses.
  for (const [offset, stride] of [[384, 1], [0xf0, 2], [255, 33], [1, 1]]) {
    const spacing = { offset: offset!, stride: stride! };
    const host = nic({ total: 64, ...spacing }, { driver: "i40e" });
    const state = vfs({ count: 16, driver: "vfio-pci" });
    const addresses = planned(host, state).slice(2)
      .map((line) => line.slice(0, PF.length));
    const there = await settled(host, state);
    assertEquals(
      there.function(PF).virtualFunctions.map(({ address }) => address),
      addresses,
    );
  }
});

Deno.test("plan() tells which virtual functions and interfaces go", () => {
  const host = nic({ enabled: 5 }, { network: "eth0" });
  const reasons = (state: DesiredState) =>
    plan(simulate(host), state).steps.map(({ why }) => why);
  assertEquals(
    reasons(vfs({ count: 0 })),
    [
      "there should be none; it removes 0000:01:10.0 (igbvf), 0000:01:10.2 " +
      "(igbvf), 0000:01:10.4 (igbvf), and 2 more",
    ],
  );
});

Deno.test("plan() lets vfio-pci create virtual functions when its parameter allows that", () => {
  const parameter = "/sys/module/vfio_pci/parameters/enable_sriov";
  const host = nic({}, { driver: "vfio-pci" });
  assertEquals(
    refused("DRIVER_FAILED", host, vfs({ count: 1 })).hint,
    `give it the host's driver, or: echo Y > ${parameter}`,
  );
  const able = { ...host, files: { [parameter]: "Y\n" } };
  assertEquals(planned(able, vfs({ count: 1 })), [
    `${PF}: 1 virtual function`,
  ]);
});

Deno.test("plan() removes virtual functions first when their function changes its driver", async () => {
  const host = nic({ enabled: 2 });
  const state = vfs({ count: 0 }, { driver: "vfio-pci" });
  assertEquals(planned(host, state), [
    `${PF}: no virtual functions`,
    `${PF}: driver vfio-pci`,
  ]);
  await settled(host, state);
});

Deno.test("plan() binds a function's driver first when that creates virtual functions", async () => {
  const state = vfs({ count: 1, driver: "vfio-pci" }, { driver: "igb" });
  for (const driver of [null, "vfio-pci"]) {
    const host = {
      ...nic({}, { driver }),
      drivers: { igb: { virtualFunctions: "removed" as const } },
    };
    assertEquals(planned(host, state), [
      `${PF}: driver igb`,
      AUTOPROBE,
      `${PF}: 1 virtual function`,
      "0000:01:10.0: driver vfio-pci",
    ]);
    await settled(host, state);
  }
});

Deno.test("plan() creates virtual functions again when their function changes its driver", () => {
  const host = {
    ...nic({ enabled: 1 }),
    drivers: { igb2: { virtualFunctions: "removed" as const } },
  };
  assertEquals(planned(host, vfs({ count: 1 }, { driver: "igb2" })), [
    `${PF}: no virtual functions`,
    `${PF}: driver igb2`,
    `${PF}: 1 virtual function`,
  ]);
});

Deno.test("plan() throws for a virtual function when another entry creates it", () => {
  const state = {
    functions: [
      { select: "0000:01:10.0", driver: "vfio-pci" },
      { select: PF, virtualFunctions: { count: 3 } },
    ],
  };
  assertEquals(
    contradicted(nic({ enabled: 2 }), state),
    "functions[0] is 0000:01:10.0, a virtual function that functions[1] " +
      "makes: expected it in functions[1].virtualFunctions.overrides",
  );
  // Without the other entry it is an ordinary function.
  assertEquals(
    planned(nic({ enabled: 2 }), { functions: [state.functions[0]!] }),
    ["0000:01:10.0: driver vfio-pci"],
  );
});

Deno.test("plan() throws for a virtual function when the state has still to create it", () => {
  assertEquals(
    contradicted(nic(), {
      functions: [
        { select: PF, virtualFunctions: { count: 3 } },
        { select: "01:10.4", driver: "vfio-pci" },
      ],
    }),
    "functions[1] is 0000:01:10.4, a virtual function that functions[0] " +
      "makes: expected it in functions[0].virtualFunctions.overrides",
  );
});

Deno.test("plan() checks drivers of virtual functions before these exist", () => {
  refused("DRIVER_FAILED", nic(), vfs({ count: 1, driver: "no-such" }));
  refused(
    "NO_IOMMU_GROUP",
    { ...nic(), iommu: "none" },
    vfs({ count: 1, driver: "vfio-pci" }),
  );
});

Deno.test("plan() moves a function of one card when another has virtual functions in its group", () => {
  const other = "0000:01:00.1";
  const host: Topology = {
    functions: {
      ...nic({ enabled: 1 }, { group: 5 }).functions,
      "0000:01:10.0": { group: 5 },
      [other]: { id: "8086:10d3", driver: "e1000e", group: 5 },
    },
  };
  const taken = {
    select: other,
    driver: "vfio-pci",
    group: "all endpoints" as const,
  };
  // It would unbind the driver of the physical function.
  assertEquals(
    refused("DRIVER_FAILED", host, { functions: [taken] }).device,
    PF,
  );
  assertEquals(
    planned(host, {
      functions: [taken, { select: PF, virtualFunctions: { count: 0 } }],
    }),
    [
      `${PF}: no virtual functions`,
      `${other}: driver vfio-pci`,
      `${PF}: driver vfio-pci`,
    ],
  );
});

Deno.test("plan() makes the settings of all virtual functions when these do not exist yet", async () => {
  const state = vfs({
    count: 2,
    driver: "vfio-pci",
    reset: ["flr"],
    idleD3: false,
    node: { owner: 107, mode: "0600" },
    overrides: {
      "1": { driver: "igbvf", idleD3: "hot" },
    },
  });
  assertEquals(planned(nic(), state), [
    AUTOPROBE,
    `${PF}: 2 virtual functions`,
    "0000:01:10.0: reset_method = flr",
    "0000:01:10.2: reset_method = flr",
    "0000:01:10.0: driver vfio-pci",
    "0000:01:10.2: driver igbvf",
    "0000:01:10.0: power/control = on",
    "0000:01:10.2: power/control = auto",
    "0000:01:10.0: nodes 107: 0600",
  ]);
  const host = await settled(nic(), state);
  const [first] = host.function(PF).virtualFunctions;
  const node = `/dev/vfio/${first!.iommuGroup!.id}`;
  assertEquals(host.kernel.stat(node).uid, 107);
});
