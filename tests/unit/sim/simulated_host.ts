/**
 * The processes of a simulated machine, and who may open its nodes.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { openers } from "../../../lib/host/openers.ts";
import { memoryLock } from "../../../lib/host/iommu/memory_lock.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { O_RDONLY, O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";

const A = "0000:01:00.0";

function code(call: () => unknown): string {
  return assertThrows(call, KernelError).code;
}

Deno.test("SimulatedHost makes another process of the machine", () => {
  const functions = { [A]: { model: "edu", driver: "vfio-pci" } };
  const { machine, kernel } = simulate({ functions });
  const other = new SimulatedHost(machine, { name: "qemu", uid: 1000 });
  const node = "/dev/vfio/0";
  assertEquals(code(() => other.kernel.open(node, O_RDWR)), "EACCES");
  machine.setOwnership(node, { uid: 1000 });
  assertEquals(kernel.stat(node).uid, 1000);
  const fd = other.kernel.open(node, O_RDWR);
  assertEquals(openers(kernel, [node]).map(({ name }) => name), ["qemu"]);
  assertEquals(code(() => kernel.open(node, O_RDWR)), "EBUSY");
  other.kernel.close(fd);
  assertEquals(openers(kernel, [node]), []);
});

Deno.test("SimulatedHost sees only the names of other users' processes", () => {
  const { machine, kernel } = simulate();
  const other = new SimulatedHost(machine, { uid: 1000 });
  const { pid } = machine.spawn({ name: "a-very-long-process-name" });
  assertEquals(other.kernel.readFile(`/proc/${pid}/comm`), "a-very-long-pro\n");
  assertEquals(code(() => other.kernel.readdir(`/proc/${pid}/fd`)), "EACCES");
  assertEquals(kernel.readdir(`/proc/${pid}/fd`), []);
});

Deno.test("SimulatedHost finds itself at /proc/self", () => {
  const { machine, kernel } = simulate();
  const other = new SimulatedHost(machine, { uid: 1000, memlock: 65536 });
  assert(kernel.readlink("/proc/self") !== other.kernel.readlink("/proc/self"));
  assertEquals(memoryLock(kernel).limit, undefined);
  assertEquals(memoryLock(other.kernel), { limit: 65536n, locked: 0n });
  const fd = other.kernel.open("/proc/self/status", O_RDONLY);
  assertEquals(
    other.kernel.readlink(`/proc/self/fd/${fd}`),
    `/proc/${other.kernel.readlink("/proc/self")}/status`,
  );
  other.kernel.close(fd);
});

Deno.test("Machine.setOwnership() holds until the file is removed", async () => {
  const { machine, kernel } = simulate({
    functions: {
      [A]: { model: "edu", driver: "vfio-pci", override: "vfio-pci" },
    },
  });
  machine.setOwnership("/dev/vfio/0", { gid: 12, mode: 0o660 });
  const { mode, uid, gid } = kernel.stat("/dev/vfio/0");
  assertEquals([mode, uid, gid], [0o020660, 0, 12]);
  await kernel.writeFileAsync("/sys/bus/pci/drivers/vfio-pci/unbind", A);
  await kernel.writeFileAsync("/sys/bus/pci/drivers/vfio-pci/bind", A);
  assertEquals(kernel.stat("/dev/vfio/0").mode, 0o020600);
  assertThrows(() => machine.setOwnership("/dev", { uid: 1 }), TypeError);
});

/** Lists a simulated host with ports, each with 256 functions behind it. */
