import { assertEquals, assertRejects } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { VfioDescriptors } from "../../../lib/handoff/descriptors.ts";
import type { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { openers } from "../../../lib/host/openers.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";
const NODES = [
  "/dev/iommu",
  "/dev/vfio/devices/vfio0",
  "/dev/vfio/devices/vfio1",
];

const BOUND = { id: "8086:10d3", group: 4, driver: "vfio-pci" };

/** Two functions of one group, with a VFIO driver. */
function setUp({ functions, ...more }: Topology = {}): SimulatedHost {
  return simulate({
    ...more,
    functions: {
      ...functions,
      [A]: { ...BOUND, ...functions?.[A] },
      [B]: { ...BOUND, ...functions?.[B] },
    },
  });
}

/** How often each node is open, in all processes. */
function opened(host: Host): number[] {
  return NODES.map((path) => openers(host.kernel, [path]).length);
}

async function refused(host: Host, code: string): Promise<VfioError> {
  const functions = [A, B].map((address) => host.function(address));
  const error = await assertRejects(
    () => VfioDescriptors.open(functions),
    VfioError,
  );
  assertEquals(error.code, code, error.message);
  return error;
}

Deno.test("VfioDescriptors.open() opens each device and one iommufd, and close() closes them", async () => {
  const host = setUp();
  const functions = [B, A].map((address) => host.function(address));
  const open = await VfioDescriptors.open(functions);
  assertEquals(opened(host), [1, 1, 1]);
  const paths = [open.iommufd, ...open.devices]
    .map((fd) => host.kernel.readlink(`/proc/self/fd/${fd}`));
  assertEquals(paths, [NODES[0], NODES[2], NODES[1]]);
  await open.close();
  assertEquals(opened(host), [0, 0, 0]);
  assertEquals([open.iommufd, ...open.devices], [-1, -1, -1]);
  await open.close();
});

Deno.test("VfioDescriptors allows giving devices back when it is disposed of", async () => {
  const host = setUp({ functions: { [A]: { driver: null } } });
  const taken = await host.take(A);
  {
    await using open = await VfioDescriptors.open([taken.device]);
    assertEquals(open.devices.length, 1);
  }
  await taken.giveBack();
  assertEquals(host.function(A).driver, undefined);
});

Deno.test("VfioDescriptors.open() throws a RangeError when there is no device", async () => {
  await assertRejects(() => VfioDescriptors.open([]), RangeError);
});

Deno.test("VfioDescriptors.open() throws WRONG_DRIVER when a device has no VFIO driver, and opens none", async () => {
  const host = setUp({ functions: { [B]: { driver: null } } });
  const error = await refused(host, "WRONG_DRIVER");
  assertEquals(error.device, B);
  assertEquals(opened(host), [0, 0, 0]);
});

Deno.test("VfioDescriptors.open() throws GROUP_NOT_VIABLE when a third function is in the way", async () => {
  const host = setUp({
    functions: { "0000:00:03.2": { ...BOUND, driver: "e1000e" } },
  });
  const error = await refused(host, "GROUP_NOT_VIABLE");
  assertEquals(error.device, A);
});

Deno.test("VfioDescriptors.open() throws BACKEND_UNAVAILABLE when the kernel has no iommufd", async () => {
  await refused(setUp({ kernel: { iommufd: false } }), "BACKEND_UNAVAILABLE");
});

Deno.test("VfioDescriptors.open() throws NO_IOMMU_GROUP when no IOMMU isolates the device", async () => {
  const host = setUp({
    kernel: { unsafeNoIommu: true },
    functions: { [A]: { group: null }, [B]: { group: null } },
  });
  await refused(host, "NO_IOMMU_GROUP");
});

Deno.test("VfioDescriptors.open() throws PERMISSION_DENIED when the user may not open a node, and opens none", async () => {
  const { machine } = setUp();
  machine.setOwnership(NODES[0]!, { mode: 0o666 });
  machine.setOwnership(NODES[1]!, { mode: 0o666 });
  const host = new SimulatedHost(machine, { uid: 1000 });
  const error = await refused(host, "PERMISSION_DENIED");
  assertEquals(error.device, B);
  assertEquals(opened(new SimulatedHost(machine)), [0, 0, 0]);
});
