/**
 * What is said after a typed command is about what was typed, not about the
 * state that the command makes of it.
 */
import { assertEquals } from "@std/assert";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { call } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const MDEV = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

const PARENT = `/sys/devices/pci0000:01/${A}`;

const CARD = { id: "8086:10d3", driver: "e1000e", group: 1 };
const SHARED: Topology = {
  functions: { [A]: CARD, [B]: { id: "1b36:0010", driver: "nvme", group: 1 } },
};
const SRIOV: Topology = {
  functions: {
    [A]: {
      id: "8086:10c9",
      driver: "igb",
      sriov: { total: 7, enabled: 1, id: "8086:10ca" },
    },
  },
};
const MEDIATED: Topology = {
  functions: { [A]: { id: "8086:1912", driver: "i915" } },
  mediatedTypes: { [A]: { "i915-A": { instances: 1 } } },
};

const CASES: readonly (readonly [
  what: string,
  host: Topology,
  argv: readonly string[],
  code: number,
  err: string,
])[] = [
  [
    "a group that is not viable",
    SHARED,
    ["bind", A],
    1,
    `${A}: its IOMMU group 1 would not be viable with ${B} on nvme
hint: take all of the group: passthru bind ${A} vfio-pci --whole-group`,
  ],
  [
    "a driver's name that is none",
    SHARED,
    ["bind", A, "../x"],
    2,
    `DRIVER: expected a name or none, got "../x"`,
  ],
  [
    "a whole group for a driver of the host's",
    SHARED,
    ["bind", A, "e1000e", "--whole-group"],
    2,
    `--whole-group: expected a VFIO driver beside it, got "e1000e"`,
  ],
  [
    "a function with virtual functions",
    SRIOV,
    ["bind", A],
    1,
    `${A}: it has 1 virtual function, which its driver would remove
hint: remove them first: passthru vfs ${A} 0`,
  ],
  [
    "a driver that makes no virtual functions",
    { functions: { [A]: { ...SRIOV.functions![A], driver: null } } },
    ["vfs", A, "2"],
    1,
    `${A}: no driver has it, and only its driver makes virtual functions
hint: bind it to the host's driver: passthru bind ${A} DRIVER`,
  ],
  [
    "more virtual functions than a number has",
    SRIOV,
    ["vfs", A, "99999"],
    2,
    "COUNT: expected a number from 0 to 65535, got 99999",
  ],
  [
    "a driver's name that is none, for virtual functions",
    SRIOV,
    ["vfs", A, "2", "--driver", "a/b"],
    2,
    `--driver: expected a name or none, got "a/b"`,
  ],
  [
    "a device twice",
    SHARED,
    ["attach", A, "01:00.0"],
    2,
    `${A} is given twice`,
  ],
  [
    "two drivers for a group",
    {
      functions: {
        [A]: { ...CARD, driver: "vfio-pci" },
        [B]: { ...CARD, driver: "mlx5_vfio_pci" },
        "0000:03:00.0": CARD,
      },
    },
    ["attach", A, B, "--whole-group"],
    2,
    `${A} and ${B} are one IOMMU group and give 0000:03:00.0 to vfio-pci and ` +
    "mlx5_vfio_pci: bind that first, passthru bind 0000:03:00.0 vfio-pci",
  ],
  [
    "a type that there is not",
    MEDIATED,
    ["mdev", "create", A, "i915-B"],
    1,
    `${A}: it makes no mediated devices of type i915-B
hint: it makes i915-A`,
  ],
  [
    "a type that is none",
    MEDIATED,
    ["mdev", "create", A, "a/b"],
    2,
    `TYPE: expected the name of a type, got "a/b"`,
  ],
  [
    "a UUID that is none",
    MEDIATED,
    ["mdev", "create", A, "i915-A", "1"],
    2,
    `UUID: expected a UUID, got "1"`,
  ],
  [
    "a UUID that another device has",
    {
      ...MEDIATED,
      mediatedTypes: {
        [A]: { "i915-A": { instances: 1 }, "i915-B": { instances: 1 } },
      },
      mediated: { [MDEV]: { parent: A, type: "i915-B" } },
    },
    ["mdev", "create", A, "i915-A", MDEV],
    1,
    `${MDEV}: it is another one: expected type i915-A of ${PARENT}, found ` +
    `type i915-B of ${PARENT}\nhint: remove it: echo 1 > ` +
    `${PARENT}/${MDEV}/remove`,
  ],
];

for (const [what, host, argv, code, err] of CASES) {
  Deno.test(`passthru ${argv[0]} speaks of what was typed when it is given ${what}`, async () => {
    for (const dryRun of [[], ["--dry-run"]]) {
      if (argv[0] === "attach" && dryRun.length > 0) continue;
      const outcome = await call(host, [...argv, ...dryRun]);
      assertEquals(outcome.err, `passthru: ${err}\n`);
      assertEquals(outcome.code, code);
    }
  });
}
