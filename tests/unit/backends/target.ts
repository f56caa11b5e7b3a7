import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { attachTarget } from "../../../backends/target.ts";
import { VfioError } from "../../../lib/errors.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

const A = "0000:00:03.0";

function failure(code: string, step: () => unknown): VfioError {
  const error = assertThrows(step, VfioError);
  assertEquals([error.code, error.device], [code, A]);
  return error;
}

function setUp(what: FunctionTopology, more: Topology = {}) {
  const functions = { [A]: { id: "1b36:0010", ...what } };
  return { device: simulate({ functions, ...more }).function(A) };
}

Deno.test("attachTarget() finds the group and the nodes", () => {
  const { device } = setUp({ group: 4, driver: "vfio-pci" });
  const target = attachTarget(device, false);
  assertStrictEquals(target.device, device);
  assertEquals(target.group.id, "4");
  assertEquals(target.noIommu, false);
  assertEquals(target.nodes, {
    group: "/dev/vfio/4",
    cdev: "/dev/vfio/devices/vfio0",
  });
});

Deno.test("attachTarget() throws NO_IOMMU_GROUP when there is no group", () => {
  const { device } = setUp({ driver: "nvme" }, { iommu: "none" });
  for (const unsafeNoIommu of [false, true]) {
    const error = failure(
      "NO_IOMMU_GROUP",
      () => attachTarget(device, unsafeNoIommu),
    );
    assertEquals(typeof error.hint, "string");
  }
});

Deno.test("attachTarget() throws NO_IOMMU_GROUP when the group has no IOMMU and that was not asked for", () => {
  const { device } = setUp({ driver: "vfio-pci" }, {
    iommu: "none",
    kernel: { unsafeNoIommu: true },
  });
  failure("NO_IOMMU_GROUP", () => attachTarget(device, false));
  const { noIommu, nodes } = attachTarget(device, true);
  assertEquals(noIommu, true);
  assertEquals(nodes.group, "/dev/vfio/noiommu-0");
});

Deno.test("attachTarget() accepts a mediated device when its group is named vfio-noiommu", () => {
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const host = simulate({
    functions: { [A]: { id: "8086:5917" } },
    mediated: { [uuid]: { parent: A, type: "i915-GVTg_V5_4" } },
  });
  const device = host.find(`/sys/bus/mdev/devices/${uuid}`);
  assertEquals(device.iommuGroup?.name, "vfio-noiommu");
  assertEquals(attachTarget(device, false).noIommu, false);
});

Deno.test("attachTarget() throws WRONG_DRIVER when a host driver has the device", () => {
  const { device } = setUp({ group: 4, driver: "nvme" });
  const error = failure("WRONG_DRIVER", () => attachTarget(device, false));
  assertEquals(
    error.message,
    `vfio ${A}: it is bound to nvme, which is no VFIO driver\n` +
      `hint: take it over first: host.take("${A}")`,
  );
});

Deno.test("attachTarget() throws WRONG_DRIVER when no driver has the device", () => {
  const { device } = setUp({ group: 4 });
  const error = failure("WRONG_DRIVER", () => attachTarget(device, false));
  assertEquals(
    error.message.split("\n")[0],
    `vfio ${A}: it is bound to no driver`,
  );
});
