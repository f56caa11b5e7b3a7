import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { restore } from "../../../lib/provision/restore.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import { HostFiles } from "../host_files.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  newcomer,
  NIC,
  PHYSICAL,
  stateOf,
  TOPOLOGY,
  VIRTUAL,
} from "../provision_bench.ts";

/** A state that takes a disk and creates virtual functions. */
const STATE: DesiredState = {
  functions: [
    { select: DISK, driver: "vfio-pci", node: { owner: 1000, mode: "0660" } },
    {
      select: PHYSICAL,
      virtualFunctions: {
        count: 4,
        driver: "vfio-pci",
        overrides: { "3": { driver: "pci-stub" } },
      },
    },
  ],
};

Deno.test("apply() makes the state once, and restore() undoes it", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  const applied = await apply(host, STATE);
  assertEquals(applied.steps.length, 8);
  assertEquals(host.function(DISK).driver, "vfio-pci");
  assertEquals(
    host.function(PHYSICAL).virtualFunctions.map(({ driver }) => driver),
    ["vfio-pci", "vfio-pci", "vfio-pci", "pci-stub"],
  );
  const made = stateOf(machine);
  const again = await apply(host, STATE);
  assertEquals(again.steps, []);
  assertEquals(stateOf(machine), made);
  assertEquals(await again.restore(), { undone: [], left: [], damaged: [] });
  assertEquals(stateOf(machine), made);
  // as another process does
  const { undone, left } = await restore(newcomer(machine));
  assertEquals(undone.length, 8);
  assertEquals(left, []);
  assertAsBefore(machine, before);
  assertEquals(await restore(host), { undone: [], left: [], damaged: [] });
});

Deno.test("apply() throws NOT_SUPPORTED and changes nothing when the kernel has no power management", async () => {
  const machine = bench();
  const before = stateOf(machine);
  // CONFIG_PM is not set
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    if (!String(args[0]).endsWith("/power/control")) return proceed();
    throw new KernelError(errnoNumber("ENOENT"), method);
  });
  const state: DesiredState = {
    functions: [{ select: NIC, driver: "vfio-pci", idleD3: false }],
  };
  await refused("NOT_SUPPORTED", () => apply(new Host({ kernel }), state));
  assertAsBefore(machine, before);
});

Deno.test("apply() throws when the host uses a function and nobody insists", async () => {
  const files = new HostFiles()
    .network(`/sys/devices/pci0000:00/${NIC}/net/eth0`)
    .routes(["eth0", "00000000", "00000000"]);
  // Its process is the first one, which sees these files.
  const host = simulate({ ...TOPOLOGY, files: files.all });
  const { machine } = host;
  const before = stateOf(machine);
  const state = {
    functions: [DISK, NIC].map((select) => ({ select, driver: "vfio-pci" })),
  };
  const error = await refused("HOST_IN_USE", () => apply(host, state));
  assertEquals(error.device, NIC);
  assertStringIncludes(error.hint!, `--insist ${NIC}`);
  assertAsBefore(machine, before);
  const applied = await apply(host, state, { insist: [NIC] });
  assertEquals(applied.steps.length, 2);
  await applied.restore();
  assertAsBefore(machine, before);
});

Deno.test("apply() removes no virtual function when a process has it open", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const counted = (count: number): DesiredState => ({
    functions: [{
      select: PHYSICAL,
      virtualFunctions: count === 0 ? { count } : { count, driver: "vfio-pci" },
    }],
  });
  await apply(host, counted(2));
  const { id } = host.function(VIRTUAL[0]!).iommuGroup!;
  const qemu = machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${id}`, O_RDWR);
  const error = await refused(
    "HOST_IN_USE",
    () => apply(host, counted(0)),
  );
  assertEquals(error.device, VIRTUAL[0]);
  assertStringIncludes(error.message, `is open in qemu (process ${qemu.pid})`);
  assertEquals(host.function(PHYSICAL).virtualFunctions.length, 2);
  qemu.exit();
  await apply(host, counted(0));
  assertEquals(host.function(PHYSICAL).virtualFunctions, []);
});

Deno.test("apply() throws for the boot display when no driver has it", async () => {
  const host = simulate({
    functions: { [NIC]: { id: "1234:1111", class: 0x030000 } },
    files: { [`/sys/devices/pci0000:00/${NIC}/boot_vga`]: "1\n" },
  });
  const error = await refused("HOST_IN_USE", () =>
    apply(host, {
      functions: [{ select: NIC, driver: "vfio-pci" }],
    }));
  assertMatch(error.message, /display/);
  assertEquals(host.function(NIC).driver, undefined);
});
