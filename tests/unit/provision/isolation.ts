import { assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "../../../lib/host/sysfs.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { planned, refused } from "../planned.ts";

const A = "0000:01:00.0";
const PATH = `/sys/devices/pci0000:01/${A}`;
const IRQ = (number: number) => `/proc/irq/${number}/smp_affinity_list`;
const UNITS = "/run/systemd/system";

const MACHINE: Topology = {
  functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
  files: {
    "/sys/devices/system/cpu/online": "0-7\n",
    [`${PATH}/local_cpulist`]: "0-3\n",
    [`${PATH}/msi_irqs/24`]: "msix\n",
    [`${PATH}/msi_irqs/25`]: "msix\n",
    [IRQ(24)]: "0-7\n",
    [IRQ(25)]: "0-3\n",
    "/usr/bin/systemctl": "",
    "/usr/sbin/irqbalance": "",
  },
};

Deno.test("plan() sends the interrupts of a function to the processors of its node", () => {
  const state = { functions: [{ select: A, interrupts: "node" }] };
  assertEquals(planned(MACHINE, state), [`${A}: ${IRQ(24)} = 0-3`]);
});

Deno.test("restore() sends interrupts where they went before", async () => {
  const host = simulate(MACHINE);
  await apply(host, { functions: [{ select: A, interrupts: "5,6,7" }] });
  assertEquals(host.kernel.readFile(IRQ(24)).trim(), "5-7");
  assertEquals(host.kernel.readFile(IRQ(25)).trim(), "5-7");
  assertEquals((await restore(host)).left, []);
  assertEquals(host.kernel.readFile(IRQ(24)).trim(), "0-7");
  assertEquals(host.kernel.readFile(IRQ(25)).trim(), "0-3");
});

Deno.test("plan() leaves the interrupts of a function that is about to move", () => {
  const state = {
    functions: [{ select: A, driver: "vfio-pci", interrupts: "node" }],
  };
  assertEquals(planned(MACHINE, state), [`${A}: driver vfio-pci`]);
});

Deno.test("apply() keeps processors for a slice, and restore() gives them to all", async () => {
  const host = simulate(MACHINE);
  await apply(host, { isolation: { cpus: "4-7" } });
  const read = (unit: string) =>
    host.kernel.readFile(`${UNITS}/${unit}.d/50-passthru.conf`);
  assertEquals(read("machine.slice"), "[Slice]\nAllowedCPUs=4-7\n");
  assertEquals(read("system.slice"), "[Slice]\nAllowedCPUs=0-3\n");
  assertEquals(read("init.scope"), "[Scope]\nAllowedCPUs=0-3\n");
  assertStringIncludes(
    read("irqbalance.service"),
    "IRQBALANCE_BANNED_CPULIST=4-7",
  );
  assertEquals(planned(host, { isolation: { cpus: "4-7" } }), []);
  await restore(host);
  assertEquals(exists(host.kernel, "/run/systemd"), false);
});

Deno.test("plan() throws NOT_SUPPORTED for processors that are not there, and for all of them", () => {
  for (
    const [cpus, text] of [
      ["4-8", "no processor 8 (isolation.cpus)"],
      ["0-7", "leaves no processor to the host"],
    ] as const
  ) {
    const error = refused("NOT_SUPPORTED", MACHINE, { isolation: { cpus } });
    assertStringIncludes(error.message, text);
  }
  refused("NOT_SUPPORTED", MACHINE, {
    functions: [{ select: A, interrupts: "9" }],
  });
});
