import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { A, Sysfs } from "./sysfs_bench.ts";

Deno.test("nr_hugepages is the pool for mmap and munmap", async () => {
  const sysfs = new Sysfs({ functions: { [A]: { model: "edu" } } });
  const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "x"), "EINVAL");
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "4"), "ok");
  await sysfs.take(A);
  const space = new AddressSpace(sysfs);
  const device = await VfioDevice.attach(A, space);
  const memory = space.allocate(2 * 2 ** 21, { hugepages: "2M" });
  assertEquals(sysfs.read(`${pool}/free_hugepages`), "2\n");
  // Pages in use are not removed.
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "1"), "ok");
  assertEquals(sysfs.read(`${pool}/nr_hugepages`), "2\n");
  memory[Symbol.dispose]();
  assertEquals(sysfs.read(`${pool}/free_hugepages`), "2\n");
  await device.detach();
});
