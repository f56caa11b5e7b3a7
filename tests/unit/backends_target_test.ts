import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { attachTarget } from "../../backends/target.ts";
import { VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { type FakeFunction, FakeHost } from "./fake_sysfs.ts";

const A = "0000:00:03.0";

function failure(code: string, step: () => unknown): VfioError {
  const error = assertThrows(step, VfioError);
  assertEquals([error.code, error.device], [code, A]);
  return error;
}

function setUp(what: FakeFunction) {
  const fake = new FakeHost();
  fake.driver("vfio-pci");
  fake.driver("nvme", A);
  fake.function(A, what);
  return { fake, device: new Host(fake).function(A) };
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

Deno.test("attachTarget() is NO_IOMMU_GROUP when there is no group", () => {
  const { device } = setUp({ driver: "nvme" });
  for (const unsafeNoIommu of [false, true]) {
    const error = failure(
      "NO_IOMMU_GROUP",
      () => attachTarget(device, unsafeNoIommu),
    );
    assertEquals(typeof error.hint, "string");
  }
});

Deno.test("attachTarget() is NO_IOMMU_GROUP when the group has no IOMMU, unless that is wanted", () => {
  const { fake, device } = setUp({ group: 0, driver: "vfio-pci" });
  fake.kernel.file("/sys/kernel/iommu_groups/0/name", "vfio-noiommu");
  fake.kernel.remove("/sys/class/vfio/0");
  fake.kernel.directory("/sys/class/vfio/noiommu-0");
  failure("NO_IOMMU_GROUP", () => attachTarget(device, false));
  const { noIommu, nodes } = attachTarget(device, true);
  assertEquals(noIommu, true);
  assertEquals(nodes.group, "/dev/vfio/noiommu-0");
});

Deno.test("attachTarget() takes a mediated device when its group is named vfio-noiommu", () => {
  const { fake, device } = setUp({ group: 0, driver: "vfio-pci" });
  fake.kernel.file("/sys/kernel/iommu_groups/0/name", "vfio-noiommu");
  assertEquals(attachTarget(device, false).noIommu, false);
});

Deno.test("attachTarget() is WRONG_DRIVER when a host driver has the device", () => {
  const { device } = setUp({ group: 4, driver: "nvme" });
  const error = failure("WRONG_DRIVER", () => attachTarget(device, false));
  assertEquals(
    error.message,
    `vfio ${A}: it is bound to nvme, which is no VFIO driver\n` +
      `hint: take it over first: host.take("${A}")`,
  );
});

Deno.test("attachTarget() is WRONG_DRIVER when no driver has the device", () => {
  const { device } = setUp({ group: 4 });
  const error = failure("WRONG_DRIVER", () => attachTarget(device, false));
  assertEquals(
    error.message.split("\n")[0],
    `vfio ${A}: it is bound to no driver`,
  );
});
