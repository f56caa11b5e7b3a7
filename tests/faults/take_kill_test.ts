/**
 * A script that is killed at any of its kernel calls while it takes a device or
 * gives it back: `restore` brings back exactly the previous state.
 */
import "../virtual_time.ts";
import { assert, assertEquals } from "@std/assert";
import type { Host } from "../../lib/host/host.ts";
import { restore } from "../../lib/provision/restore.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";
import {
  assertAsBefore,
  bench,
  deathsIn,
  forEach,
  Mortal,
  newcomer,
  stateOf,
} from "../unit/provision_bench.ts";

const NIC = { id: "8086:10d3", class: 0x020000 };
const FUNCTION = "0000:00:08.0";

/** A device, and the machine that it is on. */
interface Subject {
  readonly target: string;
  readonly topology: Topology;
}

const functionAs = (more: object): Subject => ({
  target: FUNCTION,
  topology: { functions: { [FUNCTION]: { ...NIC, ...more } } },
});

const SUBJECTS: Readonly<Record<string, Subject>> = {
  "a function with a driver": functionAs({ driver: "e1000e", power: "auto" }),
  "a function without a driver": functionAs({}),
  "a function with an override": functionAs({
    driver: "pci-stub",
    override: "pci-stub",
  }),
  "a platform device": {
    target: "/sys/bus/platform/devices/fe210000.ethernet",
    topology: {
      devices: { "platform/fe210000.ethernet": { driver: "xgmac" } },
    },
  },
};

for (const [name, { target, topology }] of Object.entries(SUBJECTS)) {
  const take = (host: Host) => host.take(target);
  const takeAndReturn = async (host: Host) => {
    await (await take(host)).giveBack();
  };
  for (
    const [what, act] of [["take", take], ["giveBack", takeAndReturn]] as const
  ) {
    Deno.test(`restore() brings back ${name} when a script was killed at any call of ${what}()`, async () => {
      const before = stateOf(bench(topology));
      const took = new Mortal(bench(topology));
      await take(took.host);
      const deaths = await deathsIn(({ host }) => act(host), bench(topology));
      await forEach(
        what === "take"
          ? deaths
          : deaths.filter(({ nth }) => nth > took.calls.length),
        async (death) => {
          const machine = bench(topology);
          const process = new Mortal(machine, death);
          await act(process.host).catch(() => {});
          assert(process.dead);
          const { left } = await restore(newcomer(machine));
          assertEquals(left, []);
          assertAsBefore(machine, before);
        },
      );
    });
  }
}
