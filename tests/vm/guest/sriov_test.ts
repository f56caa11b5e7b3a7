/**
 * Makes, binds, attaches and removes as many virtual functions as QEMU's
 * devices can have.
 */
import { assert, assertEquals } from "@std/assert";
import { type PciFunction, VfioDevice } from "../../../mod.ts";
import { apply, type DesiredState, plan } from "../../../lib/provision/mod.ts";
import { descriptors } from "./observe.ts";
import { addressOf, forEachBackend, host, machine } from "./setup.ts";

/** How many virtual functions each function gets, and their ids. */
const COUNTS = {
  igb0: { count: 7, id: "8086:10ca" },
  nvme0: { count: 32, id: "1b36:0010" },
};

/**
 * The time limit of each change, in milliseconds. All changes are made at once,
 * and each write is a process of its own, which is slow under emulation.
 */
const LIMIT = { timeout: 120_000 };

type Name = keyof typeof COUNTS;

const NAMES = Object.keys(COUNTS) as Name[];

/** The state with all virtual functions, ready to be attached. */
function wanted(): DesiredState {
  return {
    functions: NAMES.map((name) => ({
      select: addressOf(name),
      virtualFunctions: { count: COUNTS[name].count, driver: "vfio-pci" },
    })),
  };
}

function virtualFunctions(name: Name): PciFunction[] {
  return host.function(addressOf(name)).virtualFunctions;
}

const hex = (id: number) => id.toString(16).padStart(4, "0");

/** The state of the host: the functions, their drivers and attributes. */
function state() {
  const attributes = [
    "sriov_numvfs",
    "sriov_drivers_autoprobe",
    "reset_method",
    "d3cold_allowed",
    "power/control",
  ];
  return {
    functions: host.functions().map((
      { path, address, driver, driverOverride },
    ) => ({
      address,
      driver,
      driverOverride,
      attributes: attributes.map((name) => {
        try {
          return Deno.readTextFileSync(`${path}/${name}`);
        } catch {
          return null; // not every function has all
        }
      }),
    })),
    groups: host.groups().map(({ id, devices }) => [
      id,
      devices.map(({ name }) => name),
    ]),
    nodes: [...Deno.readDirSync("/dev/vfio")].map(({ name }) => name).sort(),
    descriptors: descriptors(),
  };
}

// Other machines have no function with so many virtual functions.
if (machine.devices.igb0 !== undefined) {
  forEachBackend(
    "apply() makes 39 virtual functions, which attach in parallel, and restore() removes them",
    async (setup) => {
      const before = state();
      const applied = await apply(host, wanted(), LIMIT);
      const functions = NAMES.flatMap((name) => {
        const { count, id } = COUNTS[name];
        const made = virtualFunctions(name);
        assertEquals(made.length, count);
        for (const fn of made) {
          assertEquals(fn.driver, "vfio-pci");
          assertEquals(`${hex(fn.vendor)}:${hex(fn.device)}`, id);
        }
        return made;
      });
      assertEquals(plan(host, wanted()).steps, []);
      {
        await using space = setup.space();
        const devices = await Promise.all(
          functions.map((fn) => VfioDevice.attach(fn, space)),
        );
        using memory = space.allocate(64 * 1024);
        assert(memory.iova >= 0n);
        for (const [i, device] of devices.entries()) {
          const { vendor } = functions[i]!;
          assertEquals(device.config.read16(0), vendor);
        }
        await Promise.all(devices.map((device) => device.detach()));
      }
      const { left } = await applied.restore(LIMIT);
      assertEquals(left.map(({ step, error }) => [step, String(error)]), []);
      assertEquals(state(), before);
    },
  );
}
