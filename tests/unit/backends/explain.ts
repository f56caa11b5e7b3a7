import { simulate } from "../../../lib/sim/mod.ts";
import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  deviceBusy,
  groupHasOwner,
  groupNotViable,
  mappingRefused,
  nodeRefused,
  openNode,
} from "../../../backends/explain.ts";
import { attachTarget } from "../../../backends/target.ts";
import { VfioError } from "../../../lib/errors.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import type { FunctionTopology } from "../../../lib/sim/machine/topology.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { stubKernel } from "../stub_kernel.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";

function refused(code: string): KernelError {
  return new KernelError(errnoNumber(code), "open", "/dev/vfio/4");
}

/**
 * Makes a function of group 4, other functions, and processes that have nodes
 * open.
 */
function setUp(
  others: Record<string, FunctionTopology> = {},
  open: Record<string, string> = {},
) {
  const functions = { [A]: { group: 4, driver: "vfio-pci" }, ...others };
  const host = simulate({
    functions: Object.fromEntries(
      Object.entries(functions).map(([address, what]) => [
        address,
        { id: "8086:10d3", ...what },
      ]),
    ),
  });
  const pids = Object.entries(open).map(([name, node]) => {
    const process = host.machine.spawn({ name });
    process.open(node, O_RDWR);
    return process.pid;
  });
  return { target: attachTarget(host.function(A), false), pids };
}

function assertVfioError(error: unknown, code: string): VfioError {
  assert(error instanceof VfioError, String(error));
  assertEquals(error.code, code);
  return error;
}

for (
  const [errno, code] of Object.entries({
    ENOENT: "BACKEND_UNAVAILABLE",
    ENODEV: "BACKEND_UNAVAILABLE",
    ENXIO: "BACKEND_UNAVAILABLE",
    EACCES: "PERMISSION_DENIED",
    EPERM: "PERMISSION_DENIED",
    EBUSY: "DEVICE_BUSY",
  })
) {
  Deno.test(`nodeRefused() returns ${code} when the node answers ${errno}`, () => {
    const { target } = setUp();
    const cause = refused(errno);
    const error = assertVfioError(
      nodeRefused(target, "/dev/vfio/4", cause),
      code,
    );
    assertEquals(error.device, A);
    assertStrictEquals(error.cause, cause);
    if (code !== "DEVICE_BUSY") assert(error.message.includes("/dev/vfio/4"));
    assert(error.hint !== undefined);
  });
}

Deno.test("nodeRefused() returns the error unchanged when it is another one", () => {
  const { target } = setUp();
  for (const cause of [refused("EMFILE"), refused("EIO"), new TypeError()]) {
    assertStrictEquals(nodeRefused(target, "/dev/vfio/4", cause), cause);
  }
});

Deno.test("openNode() opens for reading and writing, or throws PERMISSION_DENIED", () => {
  const { target } = setUp();
  const opened: unknown[] = [];
  const open = (...args: unknown[]) => opened.push(args);
  const fd = openNode(stubKernel({ open }), target, "/dev/vfio/4");
  assertEquals([fd.number, opened], [1, [["/dev/vfio/4", 2]]]);
  const refusing = stubKernel({
    open() {
      throw refused("EACCES");
    },
  });
  const error = assertThrows(() => openNode(refusing, target, "/dev/vfio/4"));
  assertVfioError(error, "PERMISSION_DENIED");
});

Deno.test("deviceBusy() names each process that has the group or a device of it open", () => {
  const { target, pids } = setUp({
    [B]: { group: 4, driver: "vfio-pci" },
    "0000:00:04.0": { group: 5, driver: "vfio-pci" },
  }, {
    "qemu-system-x86": "/dev/vfio/4",
    "dpdk": "/dev/vfio/devices/vfio1",
    "other": "/dev/vfio/5",
  });
  const error = deviceBusy(target, refused("EBUSY"));
  assertEquals(
    error.message,
    `vfio ${A}: the device or its IOMMU group is open in ` +
      `qemu-system-x86 (process ${pids[0]}), dpdk (process ${pids[1]})\n` +
      "hint: detach the device there, or end that process",
  );
});

Deno.test("deviceBusy() names no process when none can be found", () => {
  const error = deviceBusy(setUp().target, refused("EBUSY"));
  assertEquals(
    error.message,
    `vfio ${A}: the device or its IOMMU group is in use elsewhere\n` +
      "hint: end the process that uses it; root can see which one",
  );
});

Deno.test("groupNotViable() names each function in the way, its driver and the remedy", () => {
  const { target } = setUp({
    [B]: { group: 4, driver: "nvme" },
    "0000:00:03.2": { group: 4 },
    "0000:00:03.3": { group: 4, driver: "nvme" },
  });
  const error = assertVfioError(groupNotViable(target), "GROUP_NOT_VIABLE");
  assertEquals(
    error.message,
    `vfio ${A}: its IOMMU group 4 is not viable: ${B} is bound to nvme, ` +
      "0000:00:03.3 is bound to nvme\n" +
      `hint: take ${B} from nvme as well: host.take("${B}"); ` +
      'take 0000:00:03.3 from nvme as well: host.take("0000:00:03.3")',
  );
});

Deno.test("groupNotViable() returns DEVICE_BUSY when no driver is in the way", () => {
  const { target, pids } = setUp({}, { qemu: "/dev/vfio/4" });
  const error = assertVfioError(groupNotViable(target), "DEVICE_BUSY");
  assert(error.message.includes(`qemu (process ${pids[0]})`));
});

Deno.test("groupHasOwner() is true when a host driver or a process has the group", () => {
  assert(!groupHasOwner(setUp().target));
  const driver = setUp({ [B]: { group: 4, driver: "nvme" } });
  assert(groupHasOwner(driver.target));
  const process = setUp({}, { x: "/dev/vfio/4" });
  assert(groupHasOwner(process.target));
});

/** A kernel whose process has these limits on locked memory. */
function locking(status: string, limits: string) {
  return stubKernel({
    readFile: (path) => path.endsWith("status") ? status : limits,
  });
}

const RANGE = {
  page: 0x100,
  iova: 0x10_0000n,
  address: 0x7f00_0000_0000n,
  file: undefined,
  bytes: 0x20_0000,
  writable: true,
  noIommu: false,
};

const LIMIT =
  "Max locked memory         2097152              2097152              bytes";

for (
  const [backend, need] of [["legacy", 2199552], ["iommufd", 2125824]] as const
) {
  Deno.test(`mappingRefused() returns MEMLOCK_LIMIT, with the limit and the need of ${backend}, when a limit applies`, () => {
    const kernel = locking(
      "VmLck:\t     100 kB\nVmPin:\t      28 kB\nCapEff:\t0000000000000000\n",
      LIMIT,
    );
    const cause = refused("ENOMEM");
    const error = assertVfioError(
      mappingRefused(kernel, backend, RANGE, cause),
      "MEMLOCK_LIMIT",
    );
    assertEquals(
      error.message.split("\n")[0],
      `vfio: mapping 2097152 bytes needs ${need} bytes of locked memory, and ` +
        "the limit is 2097152",
    );
    assertStrictEquals(error.cause, cause);
  });
}

Deno.test("mappingRefused() says whose limit it is when iommufd counts other processes, too", () => {
  const error = assertVfioError(
    mappingRefused(
      locking("CapEff:\t0", LIMIT),
      "iommufd",
      RANGE,
      refused("ENOMEM"),
    ),
    "MEMLOCK_LIMIT",
  );
  assertEquals(
    error.message.split("\n")[0],
    "vfio: mapping 2097152 bytes needs 2097152 bytes of locked memory, and " +
      "the limit of 2097152 is one for all processes of this user",
  );
});

for (
  const [why, status, limits] of [
    ["the process may lock any amount", "CapEff:\t0000000000004000", "-"],
    [
      "the process has no limit",
      "CapEff:\t0",
      "Max locked memory  unlimited  unlimited",
    ],
    ["the limit is high enough", "CapEff:\t0", LIMIT],
  ] as const
) {
  Deno.test(`mappingRefused() returns NO_MEMORY when ${why}`, () => {
    const error = assertVfioError(
      mappingRefused(
        locking(status, limits),
        "legacy",
        RANGE,
        refused("ENOMEM"),
      ),
      "NO_MEMORY",
    );
    assertEquals(
      error.message,
      "vfio: the kernel has no memory to map 2097152 bytes",
    );
  });
}

for (
  const [errno, code] of Object.entries({
    ENOSPC: "MAPPING_LIMIT",
    EFAULT: "NO_MEMORY",
    EINVAL: "IOVA_OUT_OF_RANGE",
    EADDRINUSE: "IOVA_OUT_OF_RANGE",
  })
) {
  Deno.test(`mappingRefused() returns ${code} when the kernel answers ${errno}`, () => {
    const error = assertVfioError(
      mappingRefused(stubKernel(), "legacy", RANGE, refused(errno)),
      code,
    );
    assert(
      error.message.startsWith(
        "vfio: cannot map 2097152 bytes at IOVA 0x100000: ",
      ),
    );
  });
}

Deno.test("mappingRefused() returns the error unchanged when it is another one", () => {
  const cause = refused("EIO");
  assertStrictEquals(
    mappingRefused(stubKernel(), "legacy", RANGE, cause),
    cause,
  );
});
