import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import readme from "../../../lib/provision/README.md" with { type: "text" };
import { plan } from "../../../lib/provision/plan/plan.ts";
import type { FunctionState } from "../../../lib/provision/state/state.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { contradicted, planned, refused, settled } from "../planned.ts";
import { WatchedHost } from "../watched_host.ts";

const A = "0000:01:00.0";
const B = "0000:01:00.1";
const BRIDGE = "0000:00:01.0";
const NIC = { id: "8086:10d3", class: 0x020000, driver: "e1000e" };

/** One card. */
const ONE: Topology = { functions: { [A]: { ...NIC, behind: BRIDGE } } };

/** A card with two functions in one group, like a graphics card. */
const CARD: Topology = {
  functions: {
    [A]: { id: "10de:2204", class: 0x030000, driver: "nouveau", group: 7 },
    [B]: { id: "10de:1aef", class: 0x040300, driver: "snd_hda", group: 7 },
  },
};

/** Three functions behind a conventional bridge, which shares their group. */
const CONVENTIONAL: Topology = {
  functions: {
    "0000:04:00.0": { id: "104c:8231", class: 0x060400, conventional: true },
    "0000:05:00.0": { ...NIC, behind: "0000:04:00.0" },
    "0000:05:01.0": { id: "1102:0005", behind: "0000:04:00.0", driver: "snd" },
    "0000:05:02.0": { id: "1106:3044", behind: "0000:04:00.0" },
  },
};

const one = (more: Partial<FunctionState>) => ({
  functions: [{ select: A, ...more }],
});
const vfio = (more: Partial<FunctionState> = {}) =>
  one({ driver: "vfio-pci", ...more });

Deno.test("plan() has no steps when there is nothing to do", () => {
  const host = simulate(ONE);
  for (const state of [{}, one({}), one({ driver: "e1000e" })]) {
    assertEquals(plan(host, state).steps, []);
    assertEquals(plan(host, state).toString(), "Nothing to do.");
    assertEquals(JSON.stringify(plan(host, state)), '{"version":1,"steps":[]}');
  }
});

Deno.test("plan() moves a function when another driver has it, or none", async () => {
  assertEquals(planned(ONE, vfio()), [`${A}: driver vfio-pci`]);
  assertEquals(planned(ONE, one({ driver: null })), [`${A}: no driver`]);
  const bare = { functions: { [A]: { ...NIC, driver: null } } };
  assertEquals(planned(bare, vfio()), [`${A}: driver vfio-pci`]);
  assertEquals(planned(bare, one({ driver: null })), []);
  const host = await settled(ONE, vfio());
  assertEquals(host.function(A).driver, "vfio-pci");
});

Deno.test("plan() changes nothing", () => {
  const watched = new WatchedHost(CARD);
  plan(watched.host, vfio({ group: "all endpoints", idleD3: "cold" }));
  assertEquals(watched.writes, []);
});

Deno.test("plan() throws when the state is malformed", () => {
  assertEquals(
    contradicted(ONE, { functions: [{ select: A, driver: 5 as never }] }),
    "functions[0].driver: expected a name or null, got 5",
  );
});

Deno.test("plan() throws DEVICE_NOT_FOUND when there is no such function", () => {
  assertEquals(
    refused("DEVICE_NOT_FOUND", ONE, {
      functions: [{ select: "0000:09:00.0" }],
    }).device,
    "0000:09:00.0",
  );
});

Deno.test("plan() throws DRIVER_FAILED when the driver is not loaded", () => {
  const error = refused("DRIVER_FAILED", ONE, one({ driver: "mlx5_vfio_pci" }));
  assertEquals(error.device, A);
  assertEquals(error.hint, "modprobe mlx5_vfio_pci");
});

Deno.test("plan() throws NO_IOMMU_GROUP when no IOMMU isolates the function", () => {
  const none: Topology = { ...ONE, iommu: "none" };
  refused("NO_IOMMU_GROUP", none, vfio());
  assertEquals(planned(none, one({ driver: "pci-stub" })), [
    `${A}: driver pci-stub`,
  ]);
  const unsafe: Topology = { ...none, kernel: { unsafeNoIommu: true } };
  assertEquals(planned(unsafe, vfio()), [`${A}: driver vfio-pci`]);
});

Deno.test("plan() keeps bridges on their drivers, and changes how they sleep", () => {
  for (const driver of ["vfio-pci", "pci-stub", null]) {
    const state = { functions: [{ select: BRIDGE, driver }] };
    assertEquals(refused("DRIVER_FAILED", ONE, state).device, BRIDGE);
  }
  assertEquals(
    planned(ONE, { functions: [{ select: BRIDGE, idleD3: "hot" }] }),
    [`${BRIDGE}: d3cold_allowed = 0`, `${BRIDGE}: power/control = auto`],
  );
});

Deno.test("plan() throws GROUP_NOT_VIABLE when another function of the group is in the way", () => {
  for (const group of [undefined, "refuse"] as const) {
    const error = refused(
      "GROUP_NOT_VIABLE",
      CARD,
      vfio({ ...(group && { group }) }),
    );
    assertEquals(
      error.message,
      `vfio ${A}: its IOMMU group 7 would not be viable with ` +
        `${B} on snd_hda\n` +
        'hint: to give them to vfio-pci too: "group": "all endpoints" in ' +
        "functions[0]",
    );
  }
  // Also when there is nothing else to do.
  const there = { ...NIC, driver: "vfio-pci", group: 7 };
  const half = { functions: { ...CARD.functions, [A]: there } };
  refused("GROUP_NOT_VIABLE", half, vfio());
});

Deno.test("plan() needs no `group` when nothing is in the way", () => {
  const [gpu, sound] = Object.values(CARD.functions!);
  for (const driver of [null, "vfio-pci", "pci-stub"]) {
    const host = { functions: { [A]: gpu!, [B]: { ...sound, driver } } };
    assertEquals(planned(host, vfio()), [`${A}: driver vfio-pci`]);
  }
});

Deno.test("plan() moves the whole group when the state says so", async () => {
  const state = vfio({ group: "all endpoints" });
  assertEquals(planned(CARD, state), [
    `${A}: driver vfio-pci`,
    `${B}: driver vfio-pci`,
  ]);
  assertEquals(
    plan(simulate(CARD), state).steps[1]?.why,
    `in the group of ${A}: snd_hda has it`,
  );
  const host = await settled(CARD, state);
  assertEquals(host.function(A).iommuGroup?.viability(), { viable: true });
});

Deno.test("plan() keeps a function of the group where it is when pci-stub or a VFIO driver has it", () => {
  const [gpu, sound] = Object.values(CARD.functions!);
  const state = vfio({ group: "all endpoints" });
  for (const driver of ["pci-stub", "my_vfio_pci"]) {
    const host = { functions: { [A]: gpu!, [B]: { ...sound, driver } } };
    assertEquals(planned(host, state), [`${A}: driver vfio-pci`]);
  }
  // A driver could take a function without a driver.
  const bare = { functions: { [A]: gpu!, [B]: { ...sound, driver: null } } };
  assertEquals(planned(bare, state).length, 2);
});

Deno.test("plan() moves a function of the group by its own entry when the state has one", () => {
  const [first] = vfio({ group: "all endpoints" }).functions;
  const state = (driver: string | null) => ({
    functions: [first!, { select: B, driver }],
  });
  assertEquals(planned(CARD, state(null)), [
    `${A}: driver vfio-pci`,
    `${B}: no driver`,
  ]);
  const error = refused("GROUP_NOT_VIABLE", CARD, state("snd_hda"));
  assertEquals(
    error.hint,
    "the state itself gives that driver: give another, or null",
  );
});

Deno.test("plan() throws when two drivers are for one whole group", () => {
  const third = "0000:01:00.2";
  const host: Topology = {
    functions: { ...CARD.functions, [third]: { id: "10de:1ad8", group: 7 } },
    drivers: { my_vfio_pci: {} },
  };
  const all = { group: "all endpoints" } as const;
  assertEquals(
    contradicted(host, {
      functions: [
        { select: A, driver: "vfio-pci", ...all },
        { select: B, driver: "my_vfio_pci", ...all },
      ],
    }),
    `functions[0] and functions[1] are one IOMMU group and give ${third} to ` +
      "vfio-pci and my_vfio_pci: give its driver in an entry of its own",
  );
});

Deno.test("plan() makes the other settings of a function when its group gives it the driver", async () => {
  const state = {
    functions: [
      { select: B, idleD3: false as const, node: { owner: 107 } },
      { select: A, driver: "vfio-pci", group: "all endpoints" as const },
    ],
  };
  assertEquals(planned(CARD, state), [
    `${B}: driver vfio-pci`,
    `${A}: driver vfio-pci`,
    `${B}: power/control = on`,
    `${B}: nodes 107:`,
  ]);
  await settled(CARD, state);
});

Deno.test("plan() throws when a function with virtual functions is moved with its group", () => {
  const host: Topology = {
    functions: {
      [A]: {
        id: "8086:10c9",
        driver: "igb",
        group: 7,
        sriov: { total: 7, id: "8086:10ca" },
      },
      [B]: { id: "8086:10d3", driver: "e1000e", group: 7 },
    },
  };
  const state = (more: Partial<FunctionState>) => ({
    functions: [
      { select: A, virtualFunctions: { count: 1 }, ...more },
      { select: B, driver: "vfio-pci", group: "all endpoints" as const },
    ],
  });
  assertEquals(
    contradicted(host, state({})),
    `functions[1] gives the whole group of ${A} to vfio-pci, and ` +
      "functions[0] makes virtual functions: expected its driver in " +
      "functions[0].driver",
  );
  refused("GROUP_NOT_VIABLE", host, state({ driver: "igb" }));
});

Deno.test("plan() moves the functions behind a conventional bridge, and not the bridge", async () => {
  const state = {
    functions: [{
      select: { path: "0000:04:00.0/00.0" },
      driver: "vfio-pci",
      group: "all endpoints" as const,
    }],
  };
  assertEquals(planned(CONVENTIONAL, state), [
    "0000:05:00.0: driver vfio-pci",
    "0000:05:01.0: driver vfio-pci",
    "0000:05:02.0: driver vfio-pci",
  ]);
  await settled(CONVENTIONAL, state);
});

Deno.test("plan() throws GROUP_NOT_VIABLE when a bridge itself is in the way", () => {
  const host: Topology = {
    functions: {
      ...CONVENTIONAL.functions,
      "0000:04:00.0": {
        ...CONVENTIONAL.functions!["0000:04:00.0"],
        driver: "shpchp",
      },
    },
  };
  const error = refused("GROUP_NOT_VIABLE", host, {
    functions: [{
      select: "0000:05:00.0",
      driver: "vfio-pci",
      group: "all endpoints",
    }],
  });
  assertEquals(
    error.hint,
    "to leave 0000:04:00.0 without a driver: " +
      '{ "select": "0000:04:00.0", "driver": null }',
  );
});

Deno.test("plan() moves one of two identical cards when its path is given", () => {
  const host: Topology = {
    functions: {
      [A]: { ...NIC, behind: BRIDGE },
      "0000:02:00.0": { ...NIC, behind: "0000:00:02.0" },
    },
  };
  const select = { path: "0000:00:02.0/00.0" };
  assertEquals(
    planned(host, { functions: [{ select, driver: "vfio-pci" }] }),
    ["0000:02:00.0: driver vfio-pci"],
  );
});

Deno.test("plan() throws when two selectors select one function", () => {
  assertEquals(
    contradicted(ONE, {
      functions: [
        { select: A, driver: "vfio-pci" },
        { select: BRIDGE },
        { select: { path: `${BRIDGE}/00.0` }, driver: null },
      ],
    }),
    `functions[0] and functions[2] are both ${A}`,
  );
});

Deno.test("Plan.toString() has a line for each step, and a sum", () => {
  const text = plan(simulate(CARD), {
    ...vfio({ group: "all endpoints", idleD3: false }),
    hugePages: [{ size: "2M", count: 64 }],
    memoryLimit: { "1000": "8G" },
  }).toString();
  assertEquals(
    text,
    [
      "0000:01:00.0      driver vfio-pci     nouveau has it",
      "0000:01:00.1      driver vfio-pci     " +
      "in the group of 0000:01:00.0: snd_hda has it",
      "0000:01:00.0      power/control = on  it never sleeps",
      "hugepages-2048kB  nr_hugepages = 64   0 pages of 2M are reserved",
      "/etc/security/limits.d/90-passthru-1000.conf  " +
      "2 lines             user 1000 may lock 8G",
      "5 steps on 2 devices.",
    ].join("\n"),
  );
});

Deno.test("Plan.toString() agrees with the documentation", () => {
  const host = simulate({
    functions: {
      [A]: {
        id: "8086:10c9",
        driver: "igb",
        sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
      },
    },
  });
  const text = plan(
    host,
    one({ virtualFunctions: { count: 2, driver: "vfio-pci" } }),
  ).toString();
  assertStringIncludes(readme, `\`\`\`text\n${text}\n\`\`\``);
});

Deno.test("Plan.toJSON() agrees with the documentation", () => {
  const json = JSON.parse(
    JSON.stringify(plan(simulate(ONE), vfio({ idleD3: false }))),
  );
  assertEquals(json, {
    version: 1,
    steps: [
      {
        kind: "driver",
        device: A,
        driver: "vfio-pci",
        why: "e1000e has it",
      },
      {
        kind: "attribute",
        device: A,
        path: `/sys/bus/pci/devices/${A}/power/control`,
        value: "on",
        why: "it never sleeps",
      },
    ],
  });
});
