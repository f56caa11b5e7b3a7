import { simulate } from "../../../lib/sim/mod.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import type { Host } from "../../../lib/host/host.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { parseState } from "../../../lib/provision/state/parse.ts";
import { type Plan, plan } from "../../../lib/provision/plan/plan.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { randomNumbers } from "../random.ts";

const NUMBER = 150;

/** Random choices, which are the same in every run. */
class Choices {
  readonly number = randomNumbers(4);

  of<const T extends readonly unknown[]>(...list: T): T[number] {
    return list[this.number(list.length)];
  }

  /** Returns the value once in `often` times, else nothing. */
  maybe<T extends object>(often: number, value: () => T): T | object {
    return this.number(often) === 0 ? value() : {};
  }
}

const ADDRESSES = [
  "0000:01:00.0",
  "0000:01:00.1",
  "0000:02:00.0",
  "0000:05:00.0",
  "0000:05:01.0",
];

function topology(choose: Choices): Topology {
  const iommu = choose.of("intel", "intel", "amd", "none");
  const vfio = iommu === "none" ? null : "vfio-pci";
  const functions: Record<string, FunctionTopology> = {
    "0000:04:00.0": { id: "104c:8231", class: 0x060400, conventional: true },
  };
  for (const address of ADDRESSES) {
    const behind = address.startsWith("0000:05")
      ? "0000:04:00.0"
      : `0000:00:0${address[6]}.0`;
    const sriov = address.endsWith(".0") && behind !== "0000:04:00.0" &&
      choose.number(2) === 0;
    const enabled = choose.of(0, 0, 2);
    const driver = sriov
      ? enabled > 0 ? "igb" : choose.of("igb", null, vfio)
      : choose.of("e1000e", null, vfio, "pci-stub");
    functions[address] = {
      id: sriov ? "8086:10c9" : "8086:10d3",
      driver,
      behind,
      reset: ["flr", "pm", "bus"],
      ...(sriov && {
        sriov: {
          total: 7,
          enabled,
          id: "8086:10ca",
          driver: "igbvf",
          offset: choose.of(16, 128, 384),
          stride: choose.of(1, 2, 40),
        },
      }),
    };
  }
  return {
    functions,
    iommu,
    drivers: {
      e1000e: { ids: ["8086:10d3"] },
      igb: { ids: ["8086:10c9"], virtualFunctions: "removed" },
      igbvf: { ids: ["8086:10ca"] },
    },
    hugePages: { "2M": choose.number(4) },
  };
}

function state(choose: Choices, { functions }: Topology): DesiredState {
  /** Random settings of sleep and reset, and of the owner of VFIO nodes. */
  const rest = (driver?: string | null) => ({
    ...choose.maybe(3, () => ({ idleD3: choose.of(false, "hot") })),
    ...choose.maybe(3, () => ({ reset: [choose.of("flr", "bus")] })),
    ...driver === "vfio-pci"
      ? choose.maybe(2, () => ({ node: { owner: choose.of(0, 107) } }))
      : {},
  });
  const one = () => {
    const driver = choose.of(
      "vfio-pci",
      "vfio-pci",
      "pci-stub",
      null,
      undefined,
    );
    return { ...driver === undefined ? {} : { driver }, ...rest(driver) };
  };
  const physical = () => ({
    ...choose.maybe(4, () => ({ driver: "igb" })),
    ...rest(),
    virtualFunctions: {
      count: choose.of(0, 1, 2, 3, 7),
      ...one(),
      ...choose.maybe(3, () => ({ overrides: { "0": one() } })),
    },
  });
  return parseState({
    functions: ADDRESSES.filter(() => choose.number(3) === 0).map((select) => {
      if (functions?.[select]?.sriov) return { select, ...physical() };
      const what = one();
      const group = choose.of("all endpoints", "all endpoints", "refuse");
      return {
        select,
        ...what,
        ...what.driver === "vfio-pci" ? { group } : {},
      };
    }),
    hugePages: [{ size: "2M", count: choose.number(4) }],
  });
}

/** The plan, or `undefined` when the state is not possible on the host. */
function planOrNone(host: Host, wanted: DesiredState): Plan | undefined {
  try {
    return plan(host, wanted);
  } catch (error) {
    if (error instanceof VfioError || error instanceof TypeError) return;
    throw error;
  }
}

Deno.test("apply() makes a plan, or changes nothing, when hosts and states are random", async () => {
  const choose = new Choices();
  const ends = { refused: 0, nothing: 0, made: 0, undone: 0 };
  for (let i = 0; i < NUMBER; i++) {
    const machine = topology(choose);
    const host = simulate(machine);
    const wanted = state(choose, machine);
    const planned = planOrNone(host, wanted);
    if (planned === undefined) {
      ends.refused++;
      continue;
    }
    const text = String(planned);
    try {
      await apply(host, wanted);
      assertEquals(String(plan(host, wanted)), "Nothing to do.", text);
      ends[planned.steps.length > 0 ? "made" : "nothing"]++;
    } catch (error) {
      // The reset methods of a virtual function are not known before it exists.
      assertInstanceOf(error, VfioError, text);
      assertEquals(error.code, "KERNEL", `${text}\n${error.message}`);
      assertStringIncludes(error.message, "/reset_method: EINVAL");
      assertEquals(String(plan(host, wanted)), text);
      ends.undone++;
    }
  }
  assert(Object.values(ends).every((times) => times > 2), JSON.stringify(ends));
});
