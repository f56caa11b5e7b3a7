import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { openers, openersText } from "../../../lib/host/openers.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { stubKernel } from "../stub_kernel.ts";

const GROUP = "/dev/vfio/4";
const CDEV = "/dev/vfio/devices/vfio0";

/**
 * A host on which `qemu` has group 4 open, and `dpdk` the device's own node.
 */
function setUp() {
  const { machine, kernel } = simulate({
    functions: {
      "0000:00:03.0": { model: "edu", driver: "vfio-pci", group: 4 },
    },
  });
  const open = (name: string, ...paths: string[]) => {
    const process = machine.spawn({ name });
    for (const path of paths) process.open(path, O_RDWR);
    return process.pid;
  };
  const qemu = open("qemu", "/dev/vfio/vfio", "/dev/vfio/vfio", GROUP);
  return { kernel, qemu, dpdk: open("dpdk", CDEV), idle: open("idle") };
}

Deno.test("openers() finds the processes that have a node open", () => {
  const { kernel, qemu, dpdk } = setUp();
  const found = openers(kernel, [GROUP, CDEV]);
  assertEquals(found, [
    { pid: qemu, name: "qemu" },
    { pid: dpdk, name: "dpdk" },
  ]);
  assertEquals(
    openersText(found),
    `qemu (process ${qemu}), dpdk (process ${dpdk})`,
  );
});

Deno.test("openers() skips processes that may not be read", () => {
  const { kernel, qemu, dpdk } = setUp();
  const hidden = new Set([`/proc/${dpdk}/fd`, `/proc/${qemu}/comm`]);
  const other = intercept(kernel, ({ method, args }, proceed) => {
    const path = args[0] as string;
    if (!hidden.has(path)) return proceed();
    throw new KernelError(errnoNumber("EACCES"), method, path);
  });
  const found = openers(other, [GROUP, CDEV]);
  assertEquals(found, [{ pid: qemu, name: "" }]);
  assertEquals(openersText(found), `process ${qemu}`);
});

Deno.test("openers() makes no kernel call when there is no node", () => {
  assertEquals(openers(stubKernel({}), []), []);
});
