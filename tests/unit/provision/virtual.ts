import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { simulate } from "../../../lib/sim/host.ts";
import type {
  DesiredState,
  VirtualFunctionsState,
} from "../../../lib/provision/state/state.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import type { SriovRecording } from "../../../lib/host/snapshot/recording.ts";
import { contradicted, planned, refused, settled } from "../planned.ts";

const PF = "0000:01:00.0";
const AUTOPROBE = `${PF}: sriov_drivers_autoprobe = 0`;

/** A network card whose virtual functions igbvf takes automatically. */
function nic(
  sriov: Partial<SriovRecording> = {},
  more: Partial<FunctionTopology> = {},
): Topology {
  return {
    functions: {
      [PF]: {
        id: "8086:10c9",
        class: 0x020000,
        driver: "igb",
        behind: "0000:00:01.0",
        sriov: { total: 7, id: "8086:10ca", driver: "igbvf", ...sriov },
        ...more,
      },
    },
  };
}

const vfs = (
  virtualFunctions: VirtualFunctionsState,
  more: { driver?: string | null } = {},
) => ({ functions: [{ select: PF, virtualFunctions, ...more }] });

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

Deno.test("plan() throws DRIVER_FAILED when virtual functions would be removed with their driver", () => {
  const error = refused("DRIVER_FAILED", nic({ enabled: 2 }), {
    functions: [{ select: PF, driver: "vfio-pci" }],
  });
  assertEquals(
    error.problem,
    "it has 2 virtual functions, which its driver would remove (functions[0])",
  );
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
