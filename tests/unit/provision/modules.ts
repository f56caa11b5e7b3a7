import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Host } from "../../../lib/host/host.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { status } from "../../../lib/provision/status.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { refused as rejected } from "../../failures.ts";
import { planned, refused } from "../planned.ts";

const A = "0000:01:00.0";
const LIB = "/lib/modules/7.3.4";
const VFIO = "kernel/drivers/vfio";

/** A host on which vfio-pci and dummy can be loaded, and ext4 is built in. */
const MACHINE: Topology = {
  functions: { [A]: { id: "8086:10d3", driver: "e1000e" } },
  drivers: { "vfio-pci": false },
  files: {
    "/usr/sbin/modprobe": "",
    "/usr/sbin/rmmod": "",
    [`${LIB}/modules.dep`]:
      `${VFIO}/pci/vfio-pci.ko.xz: ${VFIO}/pci/vfio-pci-core.ko.xz ${VFIO}/virqfd.ko.xz\n` +
      `${VFIO}/pci/vfio-pci-core.ko.xz: ${VFIO}/virqfd.ko.xz\n` +
      `${VFIO}/virqfd.ko.xz:\n` +
      "kernel/drivers/net/dummy.ko:\n",
    [`${LIB}/modules.builtin`]: "kernel/fs/ext4/ext4.ko\n",
  },
};

const modules = ({ kernel }: Host) =>
  kernel.readFile("/proc/modules").split("\n").filter((line) => line !== "")
    .map((line) => line.split(" ")[0]!);

Deno.test("plan() loads the modules that are neither loaded nor built in", () => {
  assertEquals(
    planned(MACHINE, { modules: ["dummy", "ext4", "e1000e"] }),
    ["host: module dummy"],
  );
});

Deno.test("plan() throws NOT_SUPPORTED for a module that the kernel does not have", () => {
  const error = refused("NOT_SUPPORTED", MACHINE, { modules: ["nosuch"] });
  assertStringIncludes(error.message, "no module nosuch (modules[0])");
});

Deno.test("plan() throws NOT_SUPPORTED where there is no modprobe", () => {
  const error = refused("NOT_SUPPORTED", {}, { modules: ["dummy"] });
  assertStringIncludes(error.message, "has no modprobe");
});

Deno.test("apply() loads a driver before it binds it, and restore() unloads what was loaded", async () => {
  const host = simulate(MACHINE);
  await apply(host, {
    modules: ["vfio-pci"],
    functions: [{ select: A, driver: "vfio-pci" }],
  });
  assertEquals(host.function(A).driver, "vfio-pci");
  assertEquals(modules(host), ["vfio_pci", "vfio_pci_core", "virqfd"]);
  const { left } = await restore(host);
  assertEquals(left, []);
  assertEquals(host.function(A).driver, "e1000e");
  assertEquals(modules(host), []);
});

Deno.test("restore() leaves a module that was loaded before, also one that another needs", async () => {
  const host = simulate(MACHINE);
  await host.kernel.runAsync("/usr/sbin/modprobe", ["virqfd"]);
  await apply(host, { modules: ["vfio-pci", "virqfd"] });
  await restore(host);
  assertEquals(modules(host), ["virqfd"]);
});

Deno.test("restore() leaves a module whose driver has a device, and says which", async () => {
  const host = simulate(MACHINE);
  await apply(host, { modules: ["vfio-pci"] });
  await using _ = await host.take(A);
  const { left } = await restore(host, { timeout: 50 });
  const error = left.map(({ error }) => String(error)).join();
  assertStringIncludes(error, "the module vfio_pci is used by");
  assertStringIncludes(error, A);
});

Deno.test("status() says that a module was unloaded since", async () => {
  const host = simulate(MACHINE);
  await apply(host, { modules: ["dummy"] });
  assertEquals((await status(host))[0]!.steps[0]!.holds, true);
  await host.kernel.runAsync("/usr/sbin/rmmod", ["dummy"]);
  assertEquals((await status(host))[0]!.steps[0]!.holds, false);
});

Deno.test("apply() throws PROGRAM_FAILED with what modprobe wrote, and undoes all", async () => {
  const host = simulate({
    ...MACHINE,
    files: { ...MACHINE.files, "/usr/sbin/modprobe": "exit 7" },
  });
  const error = await rejected("PROGRAM_FAILED", () =>
    apply(host, {
      modules: ["dummy"],
      functions: [{ select: A, driver: null }],
    }));
  assertStringIncludes(error.message, "failed with status 7: modprobe: it");
  assertEquals(host.function(A).driver, "e1000e");
  assertEquals(exists(host.kernel, "/run/passthru/apply-1.jsonl"), false);
});

Deno.test("simulate() keeps loaded modules and their drivers", async () => {
  const host = simulate(MACHINE);
  await apply(host, {
    modules: ["vfio-pci"],
    functions: [{ select: A, driver: "vfio-pci" }],
  });
  const later = simulate(
    JSON.parse(JSON.stringify(host.machine.topology())),
  );
  assertEquals(modules(later), modules(host));
  assertEquals(later.function(A).driver, "vfio-pci");
  await restore(later);
  assertEquals(modules(later), []);
});
