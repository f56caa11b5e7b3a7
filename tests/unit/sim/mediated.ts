import { assertEquals } from "@std/assert";
import { Sysfs } from "./sysfs_bench.ts";

Deno.test("mediated devices are created and removed by their UUIDs", async () => {
  const parent = "/sys/devices/virtual/mtty/mtty";
  const sysfs = new Sysfs({
    functions: {},
    mediatedTypes: { [parent]: { "mtty-1": { instances: 2 } } },
  });
  const type = `${parent}/mdev_supported_types/mtty-1`;
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const other = uuid.replace("1001", "1002");
  for (
    const [text, expected] of [
      ["x", "EINVAL"],
      [uuid.slice(1), "EINVAL"],
      [`${uuid.toUpperCase()}\n`, "ok"],
      [uuid, "EEXIST"],
      [other, "ok"],
      [uuid.replace("1001", "1003"), "EUSERS"],
    ] as const
  ) {
    assertEquals(await sysfs.write(`${type}/create`, text), expected, text);
  }
  assertEquals(sysfs.read(`${type}/available_instances`), "0\n");
  const path = `/sys/bus/mdev/devices/${uuid}`;
  assertEquals(
    sysfs.kernel.readlink(`${path}/mdev_type`),
    "../mdev_supported_types/mtty-1",
  );
  assertEquals(sysfs.host.find(path).driver, "mtty");
  // No driver takes it again after it is unbound.
  const mtty = "/sys/bus/mdev/drivers/mtty";
  assertEquals(await sysfs.write(`${mtty}/unbind`, uuid), "ok");
  assertEquals(sysfs.host.find(path).iommuGroup, undefined);
  assertEquals(await sysfs.write(`${mtty}/bind`, uuid), "ENODEV");
  assertEquals(await sysfs.write("/sys/bus/mdev/drivers_probe", uuid), "ok");
  assertEquals(sysfs.host.find(path).driver, undefined);
  assertEquals(await sysfs.write(`${path}/remove`, "1"), "ok");
  assertEquals(sysfs.names("/sys/bus/mdev/devices"), [other]);
});
